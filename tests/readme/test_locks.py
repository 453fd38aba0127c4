"""Critical sections, as the documentation writes them."""

import asyncio

from cqrs_ddd_core import InMemoryLockStrategy, InMemoryRepository
from cqrs_ddd_core.cqrs.concurrency import CriticalSection
from cqrs_ddd_core.ports import ILockStrategy
from cqrs_ddd_core.primitives.locking import ResourceIdentifier
from tests.readme.library import Card, Fee

CARD_1, CARD_2 = ResourceIdentifier("Card", "card-1"), ResourceIdentifier("Card", "card-2")


async def test_one_resource_is_locked_for_a_block() -> None:
    locks, cards = InMemoryLockStrategy(), InMemoryRepository[Card, str]()
    await cards.add(Card(id="card-1", reader="Ada"))

    async def borrow(title: str) -> None:
        async with CriticalSection(
            resources=[ResourceIdentifier("Card", "card-1")],
            lock_strategy=locks,
            timeout=10.0,
            ttl=60.0,
        ) as section:
            assert list(section.fencing_tokens) == [CARD_1]
            card = await cards.require("card-1")
            await asyncio.sleep(0)
            card.borrow(title, 14, Fee(amount=1.0))
            await cards.add(card)

    await asyncio.gather(*(borrow(f"title {number}") for number in range(5)))
    assert (await cards.require("card-1")).owed == Fee(amount=5.0)
    assert await locks.get_active_locks() == []


async def test_several_resources_are_locked_without_a_deadlock() -> None:
    locks: ILockStrategy = InMemoryLockStrategy()
    done: list[str] = []

    async def move(name: str, resources: list[ResourceIdentifier]) -> None:
        async with CriticalSection(resources, locks, timeout=15.0):
            await asyncio.sleep(0)
            done.append(name)

    await asyncio.gather(move("there", [CARD_1, CARD_2]), move("back", [CARD_2, CARD_1]))
    assert sorted(done) == ["back", "there"]


async def test_a_session_enters_again_what_it_holds() -> None:
    locks, session_id = InMemoryLockStrategy(), "reader-session-1"

    async def inner() -> int:
        async with CriticalSection([CARD_1], lock_strategy=locks, session_id=session_id):
            return len(await locks.get_active_locks())

    async with CriticalSection([CARD_1], lock_strategy=locks, session_id=session_id):
        assert await inner() == 1
        assert len(await locks.get_active_locks()) == 1
    assert await locks.get_active_locks() == []
