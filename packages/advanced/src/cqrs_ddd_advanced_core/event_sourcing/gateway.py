"""Event-sourced aggregates of one type in one unit of work."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from cqrs_ddd_advanced_core.event_sourcing.errors import (
    EventSourcingError,
    StreamGapError,
)
from cqrs_ddd_advanced_core.event_sourcing.journal import Journal, journal_of
from cqrs_ddd_advanced_core.event_sourcing.models import IModel
from cqrs_ddd_advanced_core.event_sourcing.reader import EventReader
from cqrs_ddd_advanced_core.event_sourcing.recording import encoded
from cqrs_ddd_advanced_core.snapshots import (
    ISnapshotStore,
    ISnapshotStrategy,
    JSONSnapshotSerializer,
    Snapshot,
    SnapshotProgress,
)
from cqrs_ddd_core import (
    Change,
    EventTypeRegistry,
    IEventStore,
    IMessageCodec,
    IUnitOfWork,
    QueryOptions,
    SearchSource,
    StoredEvent,
    StreamId,
    restore_version,
    utc_now,
)
from cqrs_ddd_core.middleware.event_store import note_as_kept


@dataclass(frozen=True)
class Setup:
    """What all gateways of one repository share."""

    model: IModel
    event_store: IEventStore
    event_types: EventTypeRegistry
    reader: EventReader
    codec: IMessageCodec
    snapshot_store: ISnapshotStore | None
    snapshot_strategy: ISnapshotStrategy | None
    serializer: JSONSnapshotSerializer


class EventSourcedGateway:
    """Loads aggregates from their streams and appends what they record (see ``IAggregateGateway``).

    The dump of an aggregate is the version it will have: it has changed when it has recorded.

    Args:
        setup: what the repository knows.
        uow: whose transaction to join; None where every call stands alone.
        tenant_id: whose aggregates.
    """

    def __init__(self, setup: Setup, uow: IUnitOfWork | None, tenant_id: str) -> None:
        self._setup, self._uow, self._tenant_id = setup, uow, tenant_id
        self.aggregate_type = setup.model.aggregate_type

    def stream_of(self, aggregate_id: Any) -> StreamId:
        """Return the stream of the aggregate with this id."""
        return StreamId(self._setup.model.name, str(aggregate_id), self._tenant_id)

    def dump(self, aggregate: Any) -> int:
        """Return the version it will have when its events are stored."""
        journal = journal_of(aggregate)
        return journal.base + len(journal.recorded)

    # -- loading -------------------------------------------------------------------------------

    async def load(self, ids: Sequence[Any] | None) -> list[Any]:
        """Return the aggregates with these ids, those that exist."""
        if ids is None:
            _refuse("are not listed: read a projection of their events instead")
        found = [await self.rebuild(entity_id) for entity_id in dict.fromkeys(ids)]
        return [aggregate for aggregate in found if aggregate is not None]

    async def rebuild(self, aggregate_id: Any, *, use_snapshot: bool = True) -> Any | None:
        """Return the aggregate as its events have it; None where it has no event."""
        stream = self.stream_of(aggregate_id)
        if use_snapshot and self._setup.snapshot_store is not None:
            snapshot = await self._setup.snapshot_store.get_latest_snapshot(stream, self._uow)
            if snapshot is not None:
                found = await self._from_snapshot(stream, snapshot)
                if found is not None:
                    return found
        blank = self._setup.model.blank(stream.aggregate_id)
        return await self._replay(blank, stream, after_version=0)

    async def _from_snapshot(self, stream: StreamId, snapshot: Snapshot) -> Any | None:
        """Return the aggregate by its snapshot and the events since; None where it is no use.

        The event that the snapshot stands on is read again: if another one is there, the snapshot
        is of another history.
        """
        setup = self._setup
        state = setup.serializer.deserialize(
            setup.model.state_type, snapshot.payload, snapshot.schema
        )
        if state is None:
            return None
        aggregate = setup.model.from_state(stream.aggregate_id, state)
        found = await self._replay(aggregate, stream, snapshot.version - 1, snapshot.event_id)
        if found is not None:
            journal = journal_of(found)
            journal.snapshot_version = snapshot.version
            journal.snapshot_taken_at = snapshot.taken_at
        return found

    async def _replay(
        self, aggregate: Any, stream: StreamId, after_version: int, known_event: str | None = None
    ) -> Any | None:
        """Apply the events behind ``after_version``; the first of them is in a snapshot already."""
        apply, read = self._setup.model.apply, self._setup.reader.read
        version = 0
        events = self._setup.event_store.read_stream(
            stream, after_version=after_version, uow=self._uow
        )
        async with aclosing(events):
            async for event in events:
                if known_event is not None and version == 0:
                    if event.event_id != known_event:
                        return None
                elif event.version != (version or after_version) + 1:
                    raise StreamGapError(stream, (version or after_version) + 1)
                else:
                    apply(aggregate, read(event))
                version = event.version
        if version == 0:
            return None
        self._setup.model.check(aggregate, stream, version)
        aggregate.clear_events()  # which an apply_ method may have recorded
        restore_version(aggregate, version)
        return aggregate

    # -- saving --------------------------------------------------------------------------------

    async def insert(self, changes: Sequence[Change]) -> None:
        """Append the first events of new aggregates."""
        for change in changes:
            if not journal_of(change.aggregate).unsaved(0):
                _refuse("need an event to be stored: record one")
        await self.update(changes)

    async def update(self, changes: Sequence[Change]) -> None:
        """Append what was recorded where the stream still is at ``version``."""
        for aggregate, _, _ in changes:
            version, journal = aggregate.version, journal_of(aggregate)
            events = self._stored(aggregate, journal.unsaved(version))
            if events:
                stream = events[0].stream
                await self._setup.event_store.append(stream, events, version, self._uow)
                if self._uow is not None:
                    note_as_kept(events, self._uow)
                await self._take_snapshot(aggregate, journal, version + len(events), events[-1])
            restore_version(aggregate, version + len(events) - 1)  # the caller adds one

    async def delete(self, changes: Sequence[Change]) -> None:  # noqa: ARG002 - the port's names
        """Refuse: what happened cannot be undone."""
        _refuse("are not deleted: record an event that says so, such as OrderCancelled")

    def search(self, options: QueryOptions) -> SearchSource[Any]:  # noqa: ARG002 - the same
        """Refuse: events cannot be searched by state."""
        _refuse("are not searched: read a projection of their events instead")

    def _stored(self, aggregate: Any, events: Sequence[Any]) -> list[StoredEvent]:
        """Return events as the store keeps them, in the aggregate's stream."""
        if not events:
            return []
        setup, stream = self._setup, self.stream_of(aggregate.id)
        stored = encoded(events, setup.event_types, setup.codec, stream.aggregate_type)
        return [replace(event, stream=stream) for event in stored]

    async def _take_snapshot(
        self, aggregate: Any, journal: Journal, version: int, last: StoredEvent
    ) -> None:
        """Take a snapshot if the strategy wants one, in the same transaction as the events."""
        setup = self._setup
        if setup.snapshot_store is None or setup.snapshot_strategy is None:
            return
        progress = SnapshotProgress(
            aggregate, version, journal.snapshot_version, journal.snapshot_taken_at
        )
        if not setup.snapshot_strategy.should_snapshot(progress):
            return
        snapshot = Snapshot(
            stream=last.stream,
            version=version,
            event_id=last.event_id,
            schema=setup.serializer.schema_of(setup.model.state_type),
            payload=setup.serializer.serialize(setup.model.state_of(aggregate)),
            taken_at=utc_now(),
        )
        await setup.snapshot_store.save_snapshot(snapshot, self._uow)
        journal.snapshot_version, journal.snapshot_taken_at = version, snapshot.taken_at


def _refuse(what: str) -> NoReturn:
    raise EventSourcingError(f"Event-sourced aggregates {what}.")
