"""What every unit of work promises: all or nothing, one object an id, nobody overwritten."""
# ruff: noqa: D102, PLR2004, PT012 - test names are sentences; a unit of work is one step

import asyncio
from typing import Any

import pytest

from cqrs_ddd_core.cqrs.scope import get_current_uow
from cqrs_ddd_core.cqrs.scope_errors import (
    ForeignTaskError,
    NoUnitOfWorkError,
    ReadOnlyUnitOfWorkError,
    UnitOfWorkClosedError,
)
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_core.testing.conformance.samples import Order, OrderLine, UowFactory, full_order
from cqrs_ddd_core.testing.conformance.steps import ask, change, customer_of, store, version_of


class _Oops(Exception):  # noqa: N818
    """What a test raises on purpose."""


class UnitOfWorkConformance:
    """Subclass, provide the fixture ``uow_factory``, done.

    ``uow_factory`` returns a function without arguments that gives a new unit of work, each on the
    same store, which is empty when a test begins. The unit of work has ``orders =
    repository(Order)`` for the ``Order`` of ``cqrs_ddd_core.testing.conformance.samples``. No test
    has two transactions open at once; those that do are in ``ConcurrentUnitOfWorkConformance``.
    """

    # -- commit and rollback -------------------------------------------------------------------

    async def test_it_implements_the_port(self, uow_factory: UowFactory) -> None:
        uow = uow_factory()
        assert isinstance(uow, IUnitOfWork)
        await uow.close()

    async def test_the_end_of_the_block_commits(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
        assert await version_of(uow_factory, "o-1") == 1

    async def test_an_error_in_the_block_undoes_all_of_it_and_passes(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="o-1", customer="before"), Order(id="o-2"))
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                (await uow.orders.require("o-1")).customer = "after"
                await uow.orders.delete("o-2")
                await uow.orders.add(Order(id="o-3"))
                await uow.flush()
                raise _Oops
        assert await customer_of(uow_factory, "o-1") == "before"
        assert await version_of(uow_factory, "o-2") == 1
        assert await version_of(uow_factory, "o-3") is None

    async def test_a_cancelled_block_is_undone(self, uow_factory: UowFactory) -> None:
        written = asyncio.Event()

        async def write_and_wait() -> None:
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1"))
                await uow.flush()
                written.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(write_and_wait())
        await written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await version_of(uow_factory, "o-1") is None

    async def test_it_can_be_used_on_after_a_commit(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            order = Order(id="o-1")
            await uow.orders.add(order)
            await uow.commit()
            order.customer = "second"
        assert await customer_of(uow_factory, "o-1") == "second"
        assert await version_of(uow_factory, "o-1") == 2

    async def test_a_rollback_undoes_what_came_since_the_last_commit(
        self, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            order = Order(id="o-1", customer="first")
            await uow.orders.add(order)
            await uow.commit()
            order.customer = "second"
            await uow.flush()
            await uow.rollback()
            assert order.version == 1
            await uow.orders.add(Order(id="o-2"))
        assert await customer_of(uow_factory, "o-1") == "first"
        assert await version_of(uow_factory, "o-2") == 1

    async def test_a_rollback_gives_versions_back_so_that_the_change_can_be_repeated(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="o-1"))
        new = Order(id="o-2")
        async with uow_factory() as uow:
            loaded = await uow.orders.require("o-1")
            loaded.customer = "changed"
            await uow.orders.add(new)
            await uow.flush()
            assert (loaded.version, new.version) == (2, 1)
            await uow.rollback()
            assert (loaded.version, new.version) == (1, 0)
        async with uow_factory() as uow:
            await uow.orders.add(loaded)
            await uow.orders.add(new)
        assert await customer_of(uow_factory, "o-1") == "changed"
        assert await version_of(uow_factory, "o-2") == 1

    async def test_a_flush_writes_without_ending_the_transaction(
        self, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            order = Order(id="o-1")
            await uow.orders.add(order)
            await uow.flush()
            assert order.version == 1
            await uow.rollback()
        assert await version_of(uow_factory, "o-1") is None

    async def test_closing_undoes_what_was_not_committed(self, uow_factory: UowFactory) -> None:
        uow = uow_factory()
        await uow.orders.add(Order(id="o-1"))
        await uow.commit()
        await uow.orders.add(Order(id="o-2"))
        await uow.flush()
        await uow.close()
        await uow.close()
        assert await version_of(uow_factory, "o-1") == 1
        assert await version_of(uow_factory, "o-2") is None

    async def test_an_empty_unit_of_work_commits(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            await uow.commit()
        async with uow_factory() as uow:
            assert uow.tracked() == []

    # -- tracking and versions -----------------------------------------------------------------

    async def test_an_id_always_gives_the_same_object(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"))
        async with uow_factory() as uow:
            order = await uow.orders.require("o-1")
            assert await uow.orders.get("o-1") is order
            assert (await uow.orders.list_all())[0] is order
            assert (await uow.orders.list_all(["o-1"]))[0] is order
            assert (await (await uow.orders.search()))[0] is order
            new = Order(id="o-2")
            await uow.orders.add(new)
            assert await uow.orders.get("o-2") is new
            assert (await uow.orders.list_all(["o-2"]))[0] is new

    async def test_a_read_does_not_overwrite_what_was_changed_in_memory(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="o-1", customer="stored"))
        async with uow_factory() as uow:
            order = await uow.orders.require("o-1")
            order.customer = "changed"
            await uow.orders.list_all()
            await (await uow.orders.search())
            assert order.customer == "changed"

    async def test_two_units_of_work_have_objects_of_their_own(
        self, uow_factory: UowFactory
    ) -> None:
        added = full_order()
        await store(uow_factory, added)
        async with uow_factory() as uow:
            loaded = await uow.orders.require(added.id)
        assert loaded is not added
        loaded.lines.append(loaded.lines[0])
        loaded.attributes["text"] = "changed after the end"
        async with uow_factory() as uow:
            assert await uow.orders.require(added.id) == added

    async def test_a_changed_aggregate_is_saved_without_being_told(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="o-1"))
        await change(uow_factory, "o-1", customer="changed")
        assert await customer_of(uow_factory, "o-1") == "changed"

    async def test_a_change_deep_inside_is_saved_too(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, full_order("o-1"))
        line = OrderLine.model_validate({"sku": "c", "quantity": 1, "price": {"amount": "9.99"}})
        async with uow_factory() as uow:
            order = await uow.orders.require("o-1")
            order.lines.append(line)
            order.attributes["list"][3]["deep"].append("new")
        async with uow_factory() as uow:
            order = await uow.orders.require("o-1")
            assert order.lines[2] == line
            assert order.attributes["list"][3] == {"deep": ["new"]}
            assert order.version == 2

    async def test_a_change_after_a_flush_is_saved_too(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            order = Order(id="o-1", customer="first")
            await uow.orders.add(order)
            await uow.flush()
            order.customer = "second"
        assert await customer_of(uow_factory, "o-1") == "second"

    async def test_the_version_counts_the_saves_of_changes(self, uow_factory: UowFactory) -> None:
        order = Order(id="o-1")
        assert order.version == 0
        await store(uow_factory, order)
        assert order.version == 1
        for number in range(3):
            await change(uow_factory, "o-1", quantity=number + 1)
        assert await version_of(uow_factory, "o-1") == 4

    async def test_what_is_only_read_keeps_its_version(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, full_order("o-1"))
        async with uow_factory() as uow:
            order = await uow.orders.require("o-1")
            await uow.orders.add(order)
            order.customer = str(order.customer)
        assert await version_of(uow_factory, "o-1") == 1

    async def test_tracked_are_those_loaded_or_added_in_that_order(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="o-1"), Order(id="o-3"))
        async with uow_factory() as uow:
            third = await uow.orders.require("o-3")
            second = Order(id="o-2")
            await uow.orders.add(second)
            first = await uow.orders.require("o-1")
            assert [id(order) for order in uow.tracked()] == [id(third), id(second), id(first)]
            await uow.rollback()
            assert uow.tracked() == []

    # -- optimistic concurrency ----------------------------------------------------------------

    async def test_a_change_made_on_a_stale_version_is_refused(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="o-1"))
        async with uow_factory() as uow:
            stale = await uow.orders.require("o-1")
        await change(uow_factory, "o-1", customer="winner")
        with pytest.raises(ConcurrencyError) as refusal:
            async with uow_factory() as uow:
                await uow.orders.add(stale)
                stale.customer = "loser"
        assert (refusal.value.expected, refusal.value.actual) == (1, 2)
        assert "o-1" in refusal.value.target
        assert stale.version == 1
        assert await customer_of(uow_factory, "o-1") == "winner"
        assert await version_of(uow_factory, "o-1") == 2

    async def test_a_flush_refuses_a_stale_version_already(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"))
        async with uow_factory() as uow:
            stale = await uow.orders.require("o-1")
        await change(uow_factory, "o-1", customer="winner")
        async with uow_factory() as uow:
            await uow.orders.add(stale)
            stale.customer = "loser"
            with pytest.raises(ConcurrencyError):
                await uow.flush()
            await uow.rollback()
        assert await customer_of(uow_factory, "o-1") == "winner"

    async def test_a_change_of_what_was_deleted_is_refused(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"))
        async with uow_factory() as uow:
            stale = await uow.orders.require("o-1")
        async with uow_factory() as uow:
            await uow.orders.delete("o-1")
        with pytest.raises(ConcurrencyError) as refusal:
            async with uow_factory() as uow:
                await uow.orders.add(stale)
        assert (refusal.value.expected, refusal.value.actual) == (1, None)
        assert await version_of(uow_factory, "o-1") is None

    async def test_the_deletion_of_a_stale_version_is_refused(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="o-1"))
        async with uow_factory() as uow:
            stale = await uow.orders.require("o-1")
        await change(uow_factory, "o-1", customer="winner")
        with pytest.raises(ConcurrencyError) as refusal:
            async with uow_factory() as uow:
                await uow.orders.add(stale)
                await uow.orders.delete("o-1")
        assert (refusal.value.expected, refusal.value.actual) == (1, 2)
        assert await customer_of(uow_factory, "o-1") == "winner"

    async def test_the_insert_of_a_taken_id_is_refused(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1", customer="first"))
        with pytest.raises(ConcurrencyError) as refusal:
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1", customer="second"))
        assert refusal.value.expected == 0
        assert "o-1" in refusal.value.target
        assert await customer_of(uow_factory, "o-1") == "first"

    async def test_two_objects_with_one_id_are_refused(self, uow_factory: UowFactory) -> None:
        with pytest.raises(ConcurrencyError):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1"))
                await uow.orders.add(Order(id="o-1"))
        assert await version_of(uow_factory, "o-1") is None

    async def test_one_refused_aggregate_undoes_all_others(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"), Order(id="o-2", customer="before"))
        async with uow_factory() as uow:
            stale = await uow.orders.require("o-1")
        await change(uow_factory, "o-1", customer="winner")
        told: list[str] = []

        async def tell() -> None:
            told.append("committed")

        with pytest.raises(ConcurrencyError):
            async with uow_factory() as uow:
                uow.on_commit(tell)
                (await uow.orders.require("o-2")).customer = "after"
                await uow.orders.add(Order(id="o-3"))
                await uow.orders.add(stale)
                stale.customer = "loser"
        assert told == []
        assert await customer_of(uow_factory, "o-2") == "before"
        assert await version_of(uow_factory, "o-3") is None

    async def test_a_refused_commit_can_be_rolled_back_and_repeated(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="o-1"))
        async with uow_factory() as uow:
            stale = await uow.orders.require("o-1")
        await change(uow_factory, "o-1", quantity=5)
        async with uow_factory() as uow:
            await uow.orders.add(stale)
            stale.quantity = 1
            with pytest.raises(ConcurrencyError):
                await uow.commit()
            await uow.rollback()
            (await uow.orders.require("o-1")).quantity += 1
        async with uow_factory() as uow:
            assert (await uow.orders.require("o-1")).quantity == 6

    # -- savepoints ----------------------------------------------------------------------------

    async def test_a_savepoint_undoes_just_its_block(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"), Order(id="o-2", customer="before"))
        async with uow_factory() as uow:
            (await uow.orders.require("o-1")).customer = "kept"
            with pytest.raises(_Oops):
                async with uow.savepoint():
                    (await uow.orders.require("o-1")).quantity = 9
                    await uow.orders.delete("o-2")
                    await uow.orders.add(Order(id="o-3"))
                    await uow.flush()
                    raise _Oops
            assert await uow.orders.get("o-3") is None
            assert await uow.orders.get("o-2") is not None
            await uow.orders.add(Order(id="o-4"))
        async with uow_factory() as uow:
            orders = {order.id: order for order in await uow.orders.list_all()}
        assert sorted(orders) == ["o-1", "o-2", "o-4"]
        assert (orders["o-1"].customer, orders["o-1"].quantity) == ("kept", 0)
        assert orders["o-2"].customer == "before"

    async def test_a_savepoint_that_fails_brings_objects_back_too(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, full_order("o-1"))
        async with uow_factory() as uow:
            order = await uow.orders.require("o-1")
            order.rename("before")
            with pytest.raises(_Oops):
                async with uow.savepoint():
                    order.rename("inside")
                    order.lines.clear()
                    await uow.flush()
                    raise _Oops
            assert await uow.orders.get("o-1") is order
            assert (order.customer, len(order.lines)) == ("before", 2)
            assert [event.customer for event in order.pending_events] == ["before"]
            order.quantity = 3
        async with uow_factory() as uow:
            stored = await uow.orders.require("o-1")
            assert (stored.customer, stored.quantity, len(stored.lines)) == ("before", 3, 2)

    async def test_a_savepoint_that_succeeds_changes_nothing(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            async with uow.savepoint():
                await uow.orders.add(Order(id="o-1", customer="first"))
            (await uow.orders.require("o-1")).customer = "second"
        assert await customer_of(uow_factory, "o-1") == "second"

    async def test_savepoints_nest(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow, uow.savepoint():
            await uow.orders.add(Order(id="outer"))
            with pytest.raises(_Oops):
                async with uow.savepoint():
                    await uow.orders.add(Order(id="inner"))
                    await uow.flush()
                    raise _Oops
            await uow.orders.add(Order(id="after"))
        assert await version_of(uow_factory, "outer") == 1
        assert await version_of(uow_factory, "inner") is None
        assert await version_of(uow_factory, "after") == 1

    async def test_an_inner_savepoint_goes_with_the_outer_one(
        self, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            with pytest.raises(_Oops):
                async with uow.savepoint():
                    async with uow.savepoint():
                        await uow.orders.add(Order(id="inner"))
                    raise _Oops
        assert await version_of(uow_factory, "inner") is None

    async def test_a_refused_change_can_be_caught_with_a_savepoint(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="taken"))
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            with pytest.raises(ConcurrencyError):
                async with uow.savepoint():
                    await uow.orders.add(Order(id="taken", customer="second"))
            await uow.orders.add(Order(id="o-2"))
        assert await version_of(uow_factory, "o-1") == 1
        assert await version_of(uow_factory, "o-2") == 1
        assert await customer_of(uow_factory, "taken") == "c-1"

    async def test_callbacks_of_an_undone_block_are_not_called(
        self, uow_factory: UowFactory
    ) -> None:
        calls: list[str] = []
        async with uow_factory() as uow:
            uow.on_commit(_noting(calls, "outside"))
            with pytest.raises(_Oops):
                async with uow.savepoint():
                    uow.before_commit(_noting(calls, "inside, before"))
                    uow.on_commit(_noting(calls, "inside, after"))
                    raise _Oops
        assert calls == ["outside"]

    # -- around the commit ---------------------------------------------------------------------

    async def test_on_commit_is_called_once_after_the_commit_in_order(
        self, uow_factory: UowFactory
    ) -> None:
        calls: list[str] = []
        async with uow_factory() as uow:
            uow.on_commit(_noting(calls, "first"))
            uow.on_commit(_noting(calls, "second"))
            await uow.orders.add(Order(id="o-1"))
            await uow.flush()
            assert calls == []
            await uow.commit()
            assert calls == ["first", "second"]
            await uow.orders.add(Order(id="o-2"))
        assert calls == ["first", "second"]

    async def test_on_commit_is_never_called_after_a_rollback(
        self, uow_factory: UowFactory
    ) -> None:
        calls: list[str] = []
        async with uow_factory() as uow:
            uow.on_commit(_noting(calls, "undone"))
            await uow.rollback()
            await uow.orders.add(Order(id="o-1"))
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                uow.on_commit(_noting(calls, "failed"))
                raise _Oops
        assert calls == []

    async def test_before_commit_is_the_first_step_and_may_change_more(
        self, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            order = Order(id="o-1")
            await uow.orders.add(order)

            async def complete() -> None:
                order.customer = "completed"
                await uow.orders.add(Order(id="o-2"))

            uow.before_commit(complete)
        assert await customer_of(uow_factory, "o-1") == "completed"
        assert await version_of(uow_factory, "o-2") == 1

    async def test_a_failure_before_the_commit_prevents_it(self, uow_factory: UowFactory) -> None:
        async def refuse() -> None:
            raise _Oops

        calls: list[str] = []
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1"))
                uow.on_commit(_noting(calls, "committed"))
                uow.before_commit(refuse)
        assert await version_of(uow_factory, "o-1") is None
        assert calls == []

    # -- whose it is, and until when -----------------------------------------------------------

    async def test_it_is_the_current_one_inside_its_block(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            assert get_current_uow() is uow
        with pytest.raises(NoUnitOfWorkError):
            get_current_uow()

    async def test_nothing_can_be_done_after_its_end(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"))
        async with uow_factory() as uow:
            await uow.orders.require("o-1")
            result = await uow.orders.search()
        for use in (
            lambda: uow.orders.get("o-1"),
            lambda: uow.orders.require("o-2"),
            lambda: uow.orders.add(Order(id="o-2")),
            lambda: uow.orders.delete("o-1"),
            uow.orders.list_all,
            uow.orders.search,
            result.first,
            result.total_count,
            result.aggregations,
            lambda: anext(result.stream()),
            uow.commit,
        ):
            with pytest.raises(UnitOfWorkClosedError):
                await use()
        with pytest.raises(UnitOfWorkClosedError):
            async with uow:
                pytest.fail("a unit of work that has ended cannot be entered again")

    async def test_another_task_is_refused(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"))
        async with uow_factory() as uow:
            result = await uow.orders.search()

            async def use_all() -> None:
                with pytest.raises(ForeignTaskError):
                    get_current_uow()
                for use in (
                    lambda: uow.orders.get("o-1"),
                    lambda: uow.orders.add(Order(id="o-2")),
                    lambda: uow.orders.delete("o-1"),
                    uow.orders.list_all,
                    uow.orders.search,
                    result.first,
                    result.total_count,
                    uow.commit,
                ):
                    with pytest.raises(ForeignTaskError):
                        await use()

            await asyncio.create_task(use_all())
            assert await uow.orders.get("o-1") is not None

    async def test_a_query_can_read_but_not_change(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1", customer="before"))

        async def answer(_: Any, uow: Any) -> list[str]:
            for change_something in (
                lambda: uow.orders.add(Order(id="o-2")),
                lambda: uow.orders.delete("o-1"),
            ):
                with pytest.raises(ReadOnlyUnitOfWorkError):
                    await change_something()
            order = await uow.orders.require("o-1")
            order.customer = "never written"
            return [order.id for order in await (await uow.orders.search())]

        assert await ask(uow_factory, answer) == ["o-1"]
        assert await customer_of(uow_factory, "o-1") == "before"
        assert await version_of(uow_factory, "o-1") == 1


def _noting(calls: list[str], what: str) -> Any:
    async def note() -> None:
        calls.append(what)

    return note
