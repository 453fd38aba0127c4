"""What every unit of work promises while others have transactions open beside it."""
# ruff: noqa: D102, PT012 - test names are sentences; a unit of work is one step

import asyncio

import pytest

from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_core.testing.conformance.samples import Order, UowFactory
from cqrs_ddd_core.testing.conformance.steps import change, customer_of, store, version_of

_TASKS = 6


class ConcurrentUnitOfWorkConformance:
    """Subclass, provide the fixture ``uow_factory`` (see ``UnitOfWorkConformance``), done.

    Several units of work are open at once here, so it is not for stores where a transaction keeps
    all others waiting, such as SQLite; there, no race can be lost at commit. Up to six
    connections are needed.
    """

    async def test_what_is_not_committed_is_seen_by_nobody_else(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="o-1", customer="before"))
        async with uow_factory() as uow:
            (await uow.orders.require("o-1")).customer = "after"
            await uow.orders.add(Order(id="o-2"))
            await uow.flush()
            assert await customer_of(uow_factory, "o-1") == "before"
            assert await version_of(uow_factory, "o-2") is None
        assert await customer_of(uow_factory, "o-1") == "after"

    async def test_a_race_for_a_change_is_lost_at_commit(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"))
        with pytest.raises(ConcurrencyError) as refusal:
            async with uow_factory() as slow:
                order = await slow.orders.require("o-1")
                await change(uow_factory, "o-1", customer="winner")
                order.customer = "loser"
        assert (refusal.value.expected, refusal.value.actual) == (1, 2)
        assert await customer_of(uow_factory, "o-1") == "winner"

    async def test_a_race_for_an_id_is_lost_at_commit(self, uow_factory: UowFactory) -> None:
        with pytest.raises(ConcurrencyError):
            async with uow_factory() as slow:
                assert await slow.orders.get("o-1") is None
                await slow.orders.add(Order(id="o-1", customer="loser"))
                await store(uow_factory, Order(id="o-1", customer="winner"))
        assert await customer_of(uow_factory, "o-1") == "winner"
        assert await version_of(uow_factory, "o-1") == 1

    async def test_a_change_loses_against_a_deletion(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"))
        with pytest.raises(ConcurrencyError) as refusal:
            async with uow_factory() as slow:
                order = await slow.orders.require("o-1")
                async with uow_factory() as fast:
                    await fast.orders.delete("o-1")
                order.customer = "loser"
        assert (refusal.value.expected, refusal.value.actual) == (1, None)
        assert await version_of(uow_factory, "o-1") is None

    async def test_a_deletion_loses_against_a_change(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"))
        with pytest.raises(ConcurrencyError) as refusal:
            async with uow_factory() as slow:
                await slow.orders.delete("o-1")
                await change(uow_factory, "o-1", customer="winner")
        assert (refusal.value.expected, refusal.value.actual) == (1, 2)
        assert await customer_of(uow_factory, "o-1") == "winner"

    async def test_a_lost_race_undoes_everything_else_too(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"), Order(id="o-2", customer="before"))
        with pytest.raises(ConcurrencyError):
            async with uow_factory() as slow:
                (await slow.orders.require("o-2")).customer = "after"
                await slow.orders.add(Order(id="o-3"))
                (await slow.orders.require("o-1")).customer = "loser"
                await change(uow_factory, "o-1", customer="winner")
        assert await customer_of(uow_factory, "o-2") == "before"
        assert await version_of(uow_factory, "o-3") is None

    async def test_changes_of_different_aggregates_do_not_meet(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="o-1"), Order(id="o-2"))
        async with uow_factory() as slow:
            (await slow.orders.require("o-1")).customer = "slow"
            await slow.orders.require("o-2")
            await change(uow_factory, "o-2", customer="fast")
        assert await customer_of(uow_factory, "o-1") == "slow"
        assert await customer_of(uow_factory, "o-2") == "fast"

    async def test_of_many_who_read_the_same_version_one_wins(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="o-1"))
        all_have_read = asyncio.Barrier(_TASKS)

        async def take(number: int) -> int:
            async with uow_factory() as uow:
                order = await uow.orders.require("o-1")
                await all_have_read.wait()
                order.quantity = number
            return number

        outcomes = await asyncio.gather(
            *(take(number + 1) for number in range(_TASKS)), return_exceptions=True
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, int)]
        losers = [outcome for outcome in outcomes if isinstance(outcome, ConcurrencyError)]
        assert (len(winners), len(losers)) == (1, _TASKS - 1)
        async with uow_factory() as uow:
            assert (await uow.orders.require("o-1")).quantity == winners[0]

    async def test_no_update_is_lost_when_losers_repeat_theirs(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="o-1"))

        async def add_one() -> None:
            try:
                async with uow_factory() as uow:
                    order = await uow.orders.require("o-1")
                    await asyncio.sleep(0)
                    order.quantity += 1
            except ConcurrencyError:
                await add_one()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(_TASKS):
                tasks.create_task(add_one())
        async with uow_factory() as uow:
            order = await uow.orders.require("o-1")
            assert (order.quantity, order.version) == (_TASKS, _TASKS + 1)
