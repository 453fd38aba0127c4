"""The event store in memory."""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import replace

from cqrs_ddd_core.adapters.memory.database import InMemoryTransaction
from cqrs_ddd_core.adapters.memory.joining import joined_transaction
from cqrs_ddd_core.adapters.memory.unit_of_work import InMemoryUnitOfWork
from cqrs_ddd_core.ports.event_query import (
    AppendCondition,
    AppendConditionError,
    EventQuery,
    refuse_untagged,
)
from cqrs_ddd_core.ports.event_store import (
    ExpectedVersion,
    FeedPage,
    IUpcaster,
    StoredEvent,
    StreamAppend,
    StreamId,
)
from cqrs_ddd_core.ports.feed_signal import FeedSignal
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.errors import ConcurrencyError


class InMemoryEventStore:
    """Keeps events in lists; joins an ``InMemoryUnitOfWork`` (see ``ITaggedEventStore``).

    Args:
        upcaster_registry: brings old events to the schema of today as they are read.
    """

    def __init__(self, *, upcaster_registry: IUpcaster | None = None) -> None:
        self._feed: list[StoredEvent] = []
        self._streams: dict[StreamId, list[StoredEvent]] = {}
        self._tagged = object()  # under which transactions keep their tagged events, in order
        self._upcasters = upcaster_registry
        self.signal = FeedSignal()

    def unit_of_work(self) -> InMemoryUnitOfWork:
        """Return a unit of work that this store takes part in, without repositories."""
        return InMemoryUnitOfWork()

    async def append(
        self,
        stream: StreamId,
        events: Sequence[StoredEvent],
        expected_version: int = ExpectedVersion.ANY,
        uow: IUnitOfWork | None = None,
    ) -> int:
        """Append ``events`` and return the stream's new version."""
        append = StreamAppend(stream, events, expected_version)
        return self._append([append], joined_transaction(uow, to_write=True))[stream]

    async def append_many(
        self,
        appends: Sequence[StreamAppend],
        uow: IUnitOfWork | None = None,
        *,
        condition: AppendCondition | None = None,
    ) -> None:
        """Append to several streams, all or nothing, if ``condition`` holds until the commit."""
        transaction = joined_transaction(uow, to_write=True)
        if condition is None:
            self._append(appends, transaction)
        else:
            self._append_if(condition, appends, transaction)

    async def read_matching(
        self, query: EventQuery, *, uow: IUnitOfWork | None = None
    ) -> AsyncGenerator[StoredEvent]:
        """Yield the events that ``query`` finds, each once, an event behind those it rests on."""
        transaction = joined_transaction(uow)
        found = [*self._matching(query), *self._own_matching(query, transaction)]
        for event in found:
            yield self._today(replace(event, position=0))

    async def read_stream(
        self,
        stream: StreamId,
        *,
        after_version: int = 0,
        before_version: int | None = None,
        backwards: bool = False,
        uow: IUnitOfWork | None = None,
    ) -> AsyncGenerator[StoredEvent]:
        """Yield the events of one stream between two versions, both exclusive."""
        seen = self._seen(stream, joined_transaction(uow))
        end = None if before_version is None else max(before_version - 1, 0)
        chosen = list(enumerate(seen, start=1))[max(after_version, 0) : end]
        for version, event in reversed(chosen) if backwards else chosen:
            yield self._today(replace(event, stream=stream, version=version, position=0))

    async def stream_version(self, stream: StreamId, uow: IUnitOfWork | None = None) -> int:
        """Return the version of the last event of ``stream``; 0 when it has none."""
        return len(self._seen(stream, joined_transaction(uow)))

    async def streams_of(
        self, aggregate_id: str, *, tenant_id: str = "", uow: IUnitOfWork | None = None
    ) -> list[StreamId]:
        """Return the streams of aggregates with this id, one for each type that has one."""
        transaction = joined_transaction(uow)
        found = dict.fromkeys(self._streams)
        for owner, *names in transaction.pending if transaction is not None else ():
            if owner is self:
                found.update(dict.fromkeys(names))
        return [s for s in found if (s.aggregate_id, s.tenant_id) == (aggregate_id, tenant_id)]

    async def read_feed(
        self,
        *,
        after_position: int = 0,
        limit: int = 1000,
        event_types: Collection[str] | None = None,
    ) -> FeedPage:
        """Return the next stretch of the feed."""
        page = self._feed[after_position : after_position + limit]
        events = [e for e in page if event_types is None or e.event_type in event_types]
        return FeedPage([self._today(event) for event in events], after_position + len(page))

    async def read_all(
        self,
        *,
        after_position: int = 0,
        before_position: int | None = None,
        event_types: Collection[str] | None = None,
        backwards: bool = False,
    ) -> AsyncGenerator[StoredEvent]:
        """Yield the events of the feed between two positions, both exclusive, as of this call."""
        end = None if before_position is None else max(before_position - 1, 0)
        chosen = self._feed[after_position:end]
        for event in reversed(chosen) if backwards else chosen:
            if event_types is None or event.event_type in event_types:
                yield self._today(event)

    async def latest_position(self) -> int:
        """Return the position of the last event; 0 when there is none."""
        return len(self._feed)

    def _today(self, event: StoredEvent) -> StoredEvent:
        return event if self._upcasters is None else self._upcasters.upcast_stored(event)

    def _seen(self, stream: StreamId, transaction: InMemoryTransaction | None) -> list[StoredEvent]:
        """Return what the joined transaction sees of a stream: the committed, then its own."""
        own = transaction.pending.get((self, stream), ()) if transaction is not None else ()
        return [*self._streams.get(stream, ()), *own]

    def _append(
        self, appends: Sequence[StreamAppend], transaction: InMemoryTransaction | None
    ) -> dict[StreamId, int]:
        """Append now, or at the commit of ``transaction``; return the versions of the streams."""
        seen = {append.stream: self._seen(append.stream, transaction) for append in appends}
        new: list[tuple[StreamAppend, int]] = []
        for append in appends:
            known = seen[append.stream]
            if _stands_already(known, append.events, append.expected_version):
                continue
            _check(append, known)
            new.append((append, len(known)))
            known += append.events
        committed = {stream: len(self._streams.get(stream, ())) for stream in seen}
        if transaction is not None:
            for stream, events in seen.items():
                if pending := events[committed[stream] :]:
                    transaction.pending[self, stream] = tuple(pending)
            tagged = [event for append, base in new for event in _placed(append, base)]
            before = transaction.pending.get((self._tagged,), ())
            transaction.pending[self._tagged,] = (*before, *tagged)
        steps = [self._step(append, committed[append.stream], base) for append, base in new]
        if transaction is not None:
            for check, apply in steps:
                transaction.stage(apply, check)
        else:  # nothing has happened since the checks above
            for _, apply in steps:
                apply()
        return {stream: len(events) for stream, events in seen.items()}

    def _append_if(
        self,
        condition: AppendCondition,
        appends: Sequence[StreamAppend],
        transaction: InMemoryTransaction | None,
    ) -> None:
        """Append if the query finds as many events as the condition says, now and at the commit."""
        refuse_untagged(event for append in appends for event in append.events)
        own = len(self._own_matching(condition.query, transaction))

        def check() -> None:
            actual = len(self._matching(condition.query)) + own
            if actual != condition.version:
                raise AppendConditionError(condition, min(actual, condition.version + 1))

        stand = [
            _stands_already(self._seen(stream, transaction), events, expected)
            for stream, events, expected in appends
        ]
        if not (stand and all(stand)):
            check()
            if transaction is not None:
                transaction.stage(lambda: None, check)
        self._append(appends, transaction)

    def _matching(self, query: EventQuery) -> list[StoredEvent]:
        """Return the committed events that ``query`` finds."""
        return [event for event in self._feed if query.matches_stored(event)]

    def _own_matching(
        self, query: EventQuery, transaction: InMemoryTransaction | None
    ) -> list[StoredEvent]:
        """Return the events that ``query`` finds among those the transaction has not committed."""
        own = transaction.pending.get((self._tagged,), ()) if transaction is not None else ()
        return [event for event in own if query.matches_stored(event)]

    def _step(
        self, append: StreamAppend, committed: int, base: int
    ) -> tuple[Callable[[], None], Callable[[], None]]:
        """Return what refuses the append when somebody else was first, and what appends."""
        stream, events, expected = append

        def stands() -> bool:
            where = base if expected >= 0 else expected
            return _stands_already(self._streams.get(stream, ()), events, where)

        def check() -> None:
            actual = len(self._streams.get(stream, ()))
            if expected >= 0 and actual != committed and not stands():
                raise ConcurrencyError(f"Stream {stream}", expected=base, actual=actual)

        def apply() -> None:
            if not stands():
                self._apply(stream, events)

        return check, apply

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
        self.signal.notify()


def _placed(append: StreamAppend, base: int) -> list[StoredEvent]:
    """Return the events with tags, as they will stand behind version ``base`` of their stream."""
    return [
        replace(event, stream=append.stream, version=version)
        for version, event in enumerate(append.events, start=base + 1)
        if event.tags
    ]


def _check(append: StreamAppend, seen: Sequence[StoredEvent]) -> None:
    """Refuse an append to a stream that is not as it expects, or that has some of its events."""
    stream, events, expected = append
    wrong = expected >= 0 and len(seen) != expected
    missing = expected == ExpectedVersion.STREAM_EXISTS and not seen
    ids = {event.event_id for event in events}
    doubled = expected < 0 and any(event.event_id in ids for event in seen)
    if wrong or missing or doubled:
        raise ConcurrencyError(f"Stream {stream}", expected=expected, actual=len(seen))


def _stands_already(
    seen: Sequence[StoredEvent], events: Sequence[StoredEvent], expected: int
) -> bool:
    """Whether these very events are in the stream, where the append wants them."""
    ids = [event.event_id for event in events]
    if expected >= 0:
        standing = seen[expected : expected + len(ids)]
    else:
        known = {event.event_id for event in events}
        standing = [event for event in seen if event.event_id in known]
    return bool(ids) and [event.event_id for event in standing] == ids
