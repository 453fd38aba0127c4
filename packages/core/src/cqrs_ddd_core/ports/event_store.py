"""The port of the record of events."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, runtime_checkable

from cqrs_ddd_core.domain.tags import checked_tags
from cqrs_ddd_core.ports.feed_signal import FeedSignal
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.clock import as_utc


class ExpectedVersion(IntEnum):
    """What must hold of a stream for an append to go through; an exact version is a plain int."""

    ANY = -2
    STREAM_EXISTS = -1
    NO_STREAM = 0


@dataclass(frozen=True, slots=True)
class StreamId:
    """Names one stream: the events of one aggregate of one tenant.

    Example:
        >>> str(StreamId("Order", "o-1"))
        'Order/o-1'
    """

    aggregate_type: str
    aggregate_id: str
    tenant_id: str = ""

    def __str__(self) -> str:
        tenant = f"{self.tenant_id}:" if self.tenant_id else ""
        return f"{tenant}{self.aggregate_type}/{self.aggregate_id}"


@dataclass(slots=True, kw_only=True)
class StoredEvent:
    """An event as the store keeps it. Nobody changes one: readers share it.

    Attributes:
        stream: whose event it is.
        version: its place in the stream, from 1; 0 before it is stored.
        position: its place in the feed of all events, from 1; told by reads of the feed, else 0.
        schema_version: version of the payload's schema.
        payload: the encoded event.
        recorded_at: when it was stored; None before.
        tags: what it is about, for queries by tag; each once.

    Raises:
        TagError: a tag is none.
    """

    event_id: str
    event_type: str
    stream: StreamId
    payload: bytes
    occurred_at: datetime
    schema_version: int = 1
    version: int = 0
    position: int = 0
    recorded_at: datetime | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Read a time without a zone as UTC; check the tags."""
        if self.tags:
            object.__setattr__(self, "tags", checked_tags(self.tags))
        if self.occurred_at.tzinfo is None:
            self.occurred_at = as_utc(self.occurred_at)


class StreamAppend(NamedTuple):
    """Events for one stream, and what must hold of it."""

    stream: StreamId
    events: Sequence[StoredEvent]
    expected_version: int = ExpectedVersion.ANY


class FeedPage(NamedTuple):
    """A stretch of the feed.

    Attributes:
        events: those asked for, in order, each with its position.
        position: every event up to here has been considered; where to go on from.
    """

    events: Sequence[StoredEvent]
    position: int


@runtime_checkable
class IUpcaster(Protocol):
    """Brings stored events of old schemas to the schema of today, as they are read."""

    def upcast_stored(self, event: StoredEvent) -> StoredEvent:
        """Return ``event`` with the payload and schema version of today.

        Raises:
            CQRSDDDError: there is no way from its version; the error names the event.
        """
        ...


@runtime_checkable
class IEventStore(Protocol):
    """Keeps events for ever, in order within their stream, and in one feed of all streams.

    Appends and reads of streams join the unit of work that is given or current; without one, each
    call is a transaction of its own. The feed has committed events alone, whoever asks.

    The feed never loses an event and never inverts two events of one stream, whatever else their
    transactions do and however they overlap. What is committed before a call is in its answer.
    """

    @property
    def signal(self) -> FeedSignal:
        """Tells of appends that this process has committed through this store."""
        ...

    async def append(
        self,
        stream: StreamId,
        events: Sequence[StoredEvent],
        expected_version: int = ExpectedVersion.ANY,
        uow: IUnitOfWork | None = None,
    ) -> int:
        """Append ``events`` and return the stream's new version.

        Appending the very same event ids again where they already stand is a success that
        changes nothing; some of them again is refused.

        Raises:
            ConcurrencyError: now or at commit, when the stream is not at ``expected_version``.
        """
        ...

    async def append_many(
        self, appends: Sequence[StreamAppend], uow: IUnitOfWork | None = None
    ) -> None:
        """Append to several streams, all or nothing; cheaper than one after another.

        Raises:
            ConcurrencyError: now or at commit, when a stream is not at its expected version.
        """
        ...

    def read_stream(
        self,
        stream: StreamId,
        *,
        after_version: int = 0,
        before_version: int | None = None,
        backwards: bool = False,
        uow: IUnitOfWork | None = None,
    ) -> AsyncGenerator[StoredEvent]:
        """Yield the events of one stream between two versions, both exclusive.

        They are fetched in batches; a stream of any length takes little memory.
        """
        ...

    async def stream_version(self, stream: StreamId, uow: IUnitOfWork | None = None) -> int:
        """Return the version of the last event of ``stream``; 0 when it has none."""
        ...

    async def streams_of(
        self, aggregate_id: str, *, tenant_id: str = "", uow: IUnitOfWork | None = None
    ) -> list[StreamId]:
        """Return the streams of aggregates with this id, one for each type that has one."""
        ...

    async def read_feed(
        self,
        *,
        after_position: int = 0,
        limit: int = 1000,
        event_types: Collection[str] | None = None,
    ) -> FeedPage:
        """Return the next stretch of the feed, at most ``limit`` events of these types (or all).

        A page may hold fewer events and there are more behind it; its ``position`` stays at
        ``after_position`` only when there is nothing behind that.
        """
        ...

    def read_all(
        self,
        *,
        after_position: int = 0,
        before_position: int | None = None,
        event_types: Collection[str] | None = None,
        backwards: bool = False,
    ) -> AsyncGenerator[StoredEvent]:
        """Yield the events of the feed between two positions, both exclusive, as of this call.

        They are fetched in batches; a feed of any length takes little memory.
        """
        ...

    async def latest_position(self) -> int:
        """Return the position of the last event; 0 when there is none.

        Every event committed before the call has a position up to this one, so whoever waits for
        a projection to reach it reads what they wrote.
        """
        ...
