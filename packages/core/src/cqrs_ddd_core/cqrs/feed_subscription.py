"""Follows the feed of all events: catches up, then waits for more."""

from collections.abc import AsyncGenerator, Collection

from cqrs_ddd_core.ports.event_store import FeedPage, IEventStore


class FeedSubscription:
    """Reads the feed from a position on, for ever, as pages.

    When it has caught up, a commit of this process wakes it at once. Commits of other processes
    are found by a poll, which comes after ``min_poll`` seconds at first and half as often each time
    nothing was there, down to one in ``max_poll`` seconds.

    Args:
        event_store: whose feed.
        after_position: the position of the last event that needs no more reading.
        limit: the most events in a page.
        event_types: names of the events wanted; all by default.
        min_poll: seconds between polls right after there was something.
        max_poll: seconds between polls when nothing happens for long.

    Attributes:
        position: how far it has read; a checkpoint to go on from another time.

    Example:
        >>> import asyncio
        >>> from datetime import UTC, datetime
        >>> from cqrs_ddd_core import InMemoryEventStore, StoredEvent, StreamId
        >>> order = StreamId("Order", "o-1")
        >>> placed = StoredEvent(
        ...     event_id="e-1", event_type="Placed", stream=order, payload=b"{}",
        ...     occurred_at=datetime.now(UTC),
        ... )
        >>> async def first_event():
        ...     store = InMemoryEventStore()
        ...     await store.append(order, [placed])
        ...     async for page in FeedSubscription(store).pages():
        ...         return page.events[0].event_type, page.position
        >>> asyncio.run(first_event())
        ('Placed', 1)
    """

    def __init__(
        self,
        event_store: IEventStore,
        *,
        after_position: int = 0,
        limit: int = 1000,
        event_types: Collection[str] | None = None,
        min_poll: float = 0.01,
        max_poll: float = 1.0,
    ) -> None:
        self._store, self._limit, self._types = event_store, limit, event_types
        self._min_poll, self._max_poll = min_poll, max_poll
        self.position = after_position

    async def pages(self) -> AsyncGenerator[FeedPage]:
        """Yield what there is, then what comes; a page without events tells of progress alone.

        ``position`` is that of a page once the next one is asked for: a failure in between leaves
        it where it was.
        """
        signal, pause = self._store.signal, self._min_poll
        while True:
            seen = signal.count
            page = await self._store.read_feed(
                after_position=self.position, limit=self._limit, event_types=self._types
            )
            if page.position > self.position:
                yield page
                self.position, pause = page.position, self._min_poll
            elif await signal.wait(seen, pause):
                pause = self._min_poll
            else:
                pause = min(pause * 2, self._max_poll)
