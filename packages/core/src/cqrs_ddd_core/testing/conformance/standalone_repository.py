"""What a repository promises that needs no unit of work around it."""
# ruff: noqa: D102, PLR2004, PT012 - test names are sentences; a unit of work is one step

from decimal import Decimal
from typing import Any

import pytest

from cqrs_ddd_core.cqrs.scope_errors import ForeignTaskError, ReadOnlyUnitOfWorkError
from cqrs_ddd_core.ports.query_options import QueryOptions
from cqrs_ddd_core.ports.repository import IRepository
from cqrs_ddd_core.primitives.errors import ConcurrencyError, EntityNotFoundError
from cqrs_ddd_core.testing.conformance.samples import Order, UowFactory, full_order
from cqrs_ddd_core.testing.conformance.steps import ask, fail_after

Orders = IRepository[Order, str]


class _Oops(Exception):  # noqa: N818
    """What a test raises on purpose."""


class StandaloneRepositoryConformance:
    """Subclass, provide the fixtures ``orders`` and ``uow_factory``, done.

    ``orders`` is an empty repository for the ``Order`` of
    ``cqrs_ddd_core.testing.conformance.samples``, on the same store as the units of work of
    ``uow_factory`` (see ``UnitOfWorkConformance``).
    """

    async def test_it_implements_the_port(self, orders: Orders) -> None:
        assert isinstance(orders, IRepository)

    # -- without a unit of work ----------------------------------------------------------------

    async def test_what_is_added_is_there_at_once(self, orders: Orders) -> None:
        order = full_order("o-1")
        assert await orders.add(order) == "o-1"
        assert order.version == 1
        found = await orders.require("o-1")
        assert found == order
        assert found is not order
        assert await orders.get("o-1") is not found

    async def test_a_change_is_saved_by_adding_it_again(self, orders: Orders) -> None:
        await orders.add(Order(id="o-1"))
        order = await orders.require("o-1")
        order.customer = "changed"
        assert (await orders.require("o-1")).customer == "c-1"
        await orders.add(order)
        stored = await orders.require("o-1")
        assert (stored.customer, stored.version, order.version) == ("changed", 2, 2)

    async def test_a_change_made_on_a_stale_version_is_refused(self, orders: Orders) -> None:
        await orders.add(Order(id="o-1"))
        winner, loser = await orders.require("o-1"), await orders.require("o-1")
        winner.customer, loser.customer = "winner", "loser"
        await orders.add(winner)
        with pytest.raises(ConcurrencyError) as refusal:
            await orders.add(loser)
        assert (refusal.value.expected, refusal.value.actual) == (1, 2)
        assert (await orders.require("o-1")).customer == "winner"

    async def test_a_taken_id_is_refused(self, orders: Orders) -> None:
        await orders.add(Order(id="o-1", customer="first"))
        with pytest.raises(ConcurrencyError):
            await orders.add(Order(id="o-1", customer="second"))
        assert (await orders.require("o-1")).customer == "first"

    async def test_what_is_deleted_is_gone_at_once(self, orders: Orders) -> None:
        await orders.add(Order(id="o-1"))
        assert await orders.delete("o-1") == "o-1"
        assert await orders.get("o-1") is None
        for use in (orders.delete, orders.require):
            with pytest.raises(EntityNotFoundError):
                await use("o-1")

    async def test_several_are_listed_and_searched(self, orders: Orders) -> None:
        for number in range(5):
            await orders.add(Order(id=f"o-{number}", total=Decimal(number)))
        assert len(await orders.list_all()) == 5
        some = await orders.list_all(["o-1", "o-3", "o-9"])
        assert sorted(order.id for order in some) == ["o-1", "o-3"]
        options = QueryOptions().with_ordering("-id").with_limit(3).with_aggregation("total", "sum")
        result = await orders.search(options)
        assert [order.id for order in await result] == ["o-4", "o-3", "o-2"]
        batches = [[order.id for order in batch] async for batch in result.stream(2)]
        assert batches == [["o-4", "o-3"], ["o-2"]]
        assert await result.total_count() == 5
        assert await result.aggregations() == {"total_sum": Decimal(10)}
        rest = await orders.search(options.with_cursor(await result.next_cursor()))
        assert [order.id for order in await rest] == ["o-1", "o-0"]

    # -- inside a unit of work -----------------------------------------------------------------

    async def test_it_joins_the_current_unit_of_work(
        self, orders: Orders, uow_factory: UowFactory
    ) -> None:
        await orders.add(Order(id="o-1"))
        async with uow_factory() as uow:
            order = await orders.require("o-1")
            assert await orders.get("o-1") is order
            assert (await (await orders.search()))[0] is order
            order.customer = "changed without being told"
            await orders.add(Order(id="o-2"))
            assert [tracked.id for tracked in uow.tracked()] == ["o-1", "o-2"]
        assert (await orders.require("o-1")).customer == "changed without being told"
        assert await orders.get("o-2") is not None

    async def test_what_it_did_is_undone_with_the_unit_of_work(
        self, orders: Orders, uow_factory: UowFactory
    ) -> None:
        await orders.add(Order(id="o-1"))
        with pytest.raises(_Oops):
            async with uow_factory():
                await orders.add(Order(id="o-2"))
                await orders.delete("o-1")
                raise _Oops
        assert [order.id for order in await orders.list_all()] == ["o-1"]

    async def test_a_child_task_of_a_command_is_refused(
        self, orders: Orders, uow_factory: UowFactory
    ) -> None:
        await orders.add(Order(id="o-1"))

        async def use_all() -> None:
            for use in (
                orders.add(Order(id="o-2")),
                orders.get("o-1"),
                orders.require("o-1"),
                orders.delete("o-1"),
                orders.list_all(),
                (await orders.search()).total_count(),
            ):
                with pytest.raises(ForeignTaskError):
                    await use

        await fail_after(uow_factory, use_all)
        assert [order.id for order in await orders.list_all()] == ["o-1"]

    async def test_in_a_query_it_changes_nothing(
        self, orders: Orders, uow_factory: UowFactory
    ) -> None:
        async def answer(_: Any) -> str:
            with pytest.raises(ReadOnlyUnitOfWorkError):
                await orders.add(Order(id="o-2"))
            return (await orders.require("o-1")).id

        await orders.add(Order(id="o-1"))
        assert await ask(uow_factory, answer) == "o-1"
        assert await orders.get("o-2") is None
