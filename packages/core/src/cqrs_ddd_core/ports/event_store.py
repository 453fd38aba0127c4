"""The port of the record of events."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Protocol, runtime_checkable

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event as the store keeps it.

    Attributes:
        stream: whose event it is.
        version: its place in the stream, from 1; 0 before it is stored.
        position: its place in the feed of all events, from 1; 0 before it is stored.
        schema_version: version of the payload's schema.
        payload: the encoded event.
        recorded_at: when it was stored; None before.
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

    def __post_init__(self) -> None:
        """Read a time without a zone as UTC."""
        if self.occurred_at.tzinfo is None:
            object.__setattr__(self, "occurred_at", as_utc(self.occurred_at))


@runtime_checkable
class IEventStore(Protocol):
    """Keeps events for ever, in order within their stream.

    Joins the unit of work that is given or current. Without one, each call is a transaction of
    its own.
    """

    async def append(
        self,
        stream: StreamId,
        events: Sequence[StoredEvent],
        expected_version: int = ExpectedVersion.ANY,
        uow: IUnitOfWork | None = None,
    ) -> int:
        """Append ``events`` and return the stream's new version.

        Appending the very same event ids again where they already stand is a success that
        changes nothing.

        Raises:
            ConcurrencyError: the stream is not at ``expected_version``.
        """
        ...

    def read_stream(
        self, stream: StreamId, *, after_version: int = 0, uow: IUnitOfWork | None = None
    ) -> AsyncIterator[StoredEvent]:
        """Yield the events of one stream behind ``after_version``, in order."""
        ...

    def read_all(self, *, after_position: int = 0) -> AsyncIterator[StoredEvent]:
        """Yield the committed events of all streams behind ``after_position``, in order."""
        ...

    async def latest_position(self) -> int:
        """Return the position of the last event; 0 when there is none."""
        ...
