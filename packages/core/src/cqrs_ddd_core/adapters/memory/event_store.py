"""The event store in memory."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from cqrs_ddd_core.adapters.memory.joining import joined_transaction, run_or_stage
from cqrs_ddd_core.ports.event_store import ExpectedVersion, StoredEvent, StreamId
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.errors import ConcurrencyError


class InMemoryEventStore:
    """Keeps events in lists; joins an ``InMemoryUnitOfWork`` (see ``IEventStore``)."""

    def __init__(self) -> None:
        self._feed: list[StoredEvent] = []
        self._streams: dict[StreamId, list[StoredEvent]] = {}

    async def append(
        self,
        stream: StreamId,
        events: Sequence[StoredEvent],
        expected_version: int = ExpectedVersion.ANY,
        uow: IUnitOfWork | None = None,
    ) -> int:
        """Append ``events`` and return the stream's new version."""
        transaction = joined_transaction(uow, to_write=True)
        seen = self._seen(stream, uow)
        if _stands_already(seen, events, expected_version):
            return len(seen)
        _check(stream, len(seen), expected_version)
        base = len(self._streams.get(stream, ()))

        def check() -> None:
            if expected_version >= 0 and len(self._streams.get(stream, ())) != base:
                _check(stream, len(self._streams[stream]), base)

        if transaction is not None:
            transaction.pending[self, stream] = (*seen[base:], *events)
        run_or_stage(transaction, lambda: self._apply(stream, events), check)
        return len(seen) + len(events)

    async def read_stream(
        self, stream: StreamId, *, after_version: int = 0, uow: IUnitOfWork | None = None
    ) -> AsyncIterator[StoredEvent]:
        """Yield the events of one stream behind ``after_version``, in order."""
        for version, event in enumerate(self._seen(stream, uow), start=1):
            if version > after_version:
                yield replace(event, version=version)

    async def read_all(self, *, after_position: int = 0) -> AsyncIterator[StoredEvent]:
        """Yield the committed events of all streams behind ``after_position``, in order."""
        for event in self._feed[after_position:]:
            yield event

    async def latest_position(self) -> int:
        """Return the position of the last event; 0 when there is none."""
        return len(self._feed)

    def _seen(self, stream: StreamId, uow: IUnitOfWork | None) -> list[StoredEvent]:
        """Return what the joined transaction sees of a stream: the committed, then its own."""
        transaction = joined_transaction(uow)
        own = transaction.pending.get((self, stream), ()) if transaction is not None else ()
        return [*self._streams.get(stream, ()), *own]

    def _apply(self, stream: StreamId, events: Sequence[StoredEvent]) -> None:
        stored_stream = self._streams.setdefault(stream, [])
        for event in events:
            stored = replace(
                event,
                stream=stream,
                version=len(stored_stream) + 1,
                position=len(self._feed) + 1,
                recorded_at=utc_now(),
            )
            stored_stream.append(stored)
            self._feed.append(stored)


def _check(stream: StreamId, version: int, expected: int) -> None:
    """Refuse an append to a stream that is not at the expected version."""
    wrong = expected >= 0 and version != expected
    missing = expected == ExpectedVersion.STREAM_EXISTS and version == 0
    if wrong or missing:
        raise ConcurrencyError(f"Stream {stream}", expected=expected, actual=version)


def _stands_already(
    seen: Sequence[StoredEvent], events: Sequence[StoredEvent], expected: int
) -> bool:
    """Whether these very events are in the stream, where the append wants them."""
    ids = [event.event_id for event in events]
    if expected >= 0:
        standing = seen[expected : expected + len(ids)]
    else:
        known = {event.event_id for event in seen}
        standing = [event for event in events if event.event_id in known]
    return bool(ids) and [event.event_id for event in standing] == ids
