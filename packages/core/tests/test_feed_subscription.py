"""A subscription reads what there is and waits for what comes, from wherever it comes."""

import asyncio
from collections.abc import Collection
from contextlib import aclosing

import pytest

from cqrs_ddd_core import (
    FeedPage,
    FeedSignal,
    FeedSubscription,
    InMemoryEventStore,
    StoredEvent,
    StreamId,
    utc_now,
)
from cqrs_ddd_core.testing import until

ORDER = StreamId("Order", "o-1")


def event(name: str, event_type: str = "Placed") -> StoredEvent:
    return StoredEvent(
        event_id=name, event_type=event_type, stream=ORDER, payload=b"{}", occurred_at=utc_now()
    )


class Elsewhere(InMemoryEventStore):
    """A store whose commits are another process's: they wake nobody here."""

    reads = 0

    def __init__(self) -> None:
        super().__init__()
        self.signal.notify = lambda: None

    async def read_feed(
        self,
        *,
        after_position: int = 0,
        limit: int = 1000,
        event_types: Collection[str] | None = None,
    ) -> FeedPage:
        self.reads += 1
        return await super().read_feed(
            after_position=after_position, limit=limit, event_types=event_types
        )


async def test_a_commit_of_another_process_is_found_by_polling() -> None:
    store, found = Elsewhere(), list[str]()
    subscription = FeedSubscription(store, min_poll=0.001, max_poll=0.004)

    async def follow() -> None:
        async with aclosing(subscription.pages()) as pages:
            async for page in pages:
                found.extend(event.event_id for event in page.events)

    following = asyncio.create_task(follow())
    await until(lambda: store.reads > 5)
    await store.append(ORDER, [event("a")])
    await until(lambda: found == ["a"])
    await until(lambda: subscription.position == 1)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following


async def test_a_page_that_was_not_dealt_with_is_read_again() -> None:
    store = InMemoryEventStore()
    await store.append(ORDER, [event("a"), event("b")])
    subscription = FeedSubscription(store, limit=1)
    for _ in range(2):
        async with aclosing(subscription.pages()) as pages:
            assert [event.event_id for event in (await anext(pages)).events] == ["a"]
    assert subscription.position == 0


async def test_progress_is_told_where_no_event_is_of_a_wanted_type() -> None:
    store = InMemoryEventStore()
    await store.append(ORDER, [event("a"), event("b"), event("c", "Shipped")])
    subscription = FeedSubscription(store, limit=2, event_types=["Shipped"])
    pages: list[tuple[list[str], int]] = []
    async with aclosing(subscription.pages()) as found:
        async for page in found:
            pages.append(([event.event_id for event in page.events], page.position))
            if page.events:
                break
    assert pages == [([], 2), (["c"], 3)]


async def test_a_signal_wakes_all_who_wait_and_nobody_twice() -> None:
    signal = FeedSignal()
    waiting = [asyncio.create_task(signal.wait(0, timeout=30)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    signal.notify()
    assert await waiting[1]
    assert await waiting[2]
    assert signal.count == 1
    assert await signal.wait(0, timeout=30)
    assert not await signal.wait(1, timeout=0)
