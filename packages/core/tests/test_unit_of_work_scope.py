"""Where the current unit of work is: in the task that opened it, until it ends, nowhere else."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import Context
from functools import cached_property
from typing import Any

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    CQRSDDDError,
    DomainEvent,
    ForeignTaskError,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryIdempotencyStore,
    InMemoryOutboxStorage,
    InMemoryRepository,
    InMemoryUnitOfWork,
    IRepository,
    Mediator,
    NoUnitOfWorkError,
    PersistenceError,
    UnitOfWork,
    UnitOfWorkClosedError,
    UnitOfWorkError,
    get_correlation_id,
    get_current_uow,
    repository,
    with_correlation_context,
)


class Shipped(DomainEvent):
    pass


class Order(AggregateRoot[str]):
    total: int = 0

    @cached_property
    def doubled(self) -> int:
        return self.total * 2


class ShopUnitOfWork(InMemoryUnitOfWork):
    orders = repository(Order)
    archive = repository(Order, table=None)


class ElsewhereUnitOfWork(UnitOfWork):
    """A unit of work on another store, which has nothing to do."""

    def _gateway(self, aggregate_type: type[Any], options: dict[str, Any]) -> Any:
        raise NotImplementedError

    async def _commit(self) -> None: ...

    async def _rollback(self) -> None: ...

    async def _close(self) -> None: ...

    def _savepoint(self) -> AbstractAsyncContextManager[object]:
        return nullcontext()


class Work(Command[Any]):
    pass


@pytest.fixture
def database() -> InMemoryDatabase:
    return InMemoryDatabase()


def mediator_for(handler: Any, database: InMemoryDatabase) -> Mediator:
    registry = HandlerRegistry()
    registry.register_command_handler(Work, handler)
    return Mediator(registry, lambda: ShopUnitOfWork(database))


def test_outside_of_any_scope_there_is_none() -> None:
    with pytest.raises(NoUnitOfWorkError, match="Send a command or query through the mediator"):
        get_current_uow()


async def test_in_a_task_without_a_scope_there_is_none() -> None:
    with pytest.raises(NoUnitOfWorkError, match=r"async with uow_factory\(\) as uow"):
        get_current_uow()


def test_all_wrong_uses_are_errors_of_one_family() -> None:
    for error in (NoUnitOfWorkError, UnitOfWorkClosedError, ForeignTaskError):
        assert issubclass(error, UnitOfWorkError)
        assert issubclass(error, CQRSDDDError)


async def test_a_conversation_alone_is_no_scope() -> None:
    with with_correlation_context("request-7"), pytest.raises(NoUnitOfWorkError):
        get_current_uow()


async def test_a_handler_has_it_and_after_the_command_it_is_gone(
    database: InMemoryDatabase,
) -> None:
    async def work(command: Work, uow: ShopUnitOfWork) -> bool:
        return get_current_uow() is uow

    assert (await mediator_for(work, database).send(Work())).result is True
    with pytest.raises(NoUnitOfWorkError):
        get_current_uow()


async def test_a_block_makes_it_current_and_brings_the_outer_one_back(
    database: InMemoryDatabase,
) -> None:
    async with ShopUnitOfWork(database) as outer:
        async with ShopUnitOfWork(database) as inner:
            assert get_current_uow() is inner
        assert get_current_uow() is outer
    with pytest.raises(NoUnitOfWorkError):
        get_current_uow()


async def test_a_block_of_your_own_keeps_the_conversation(database: InMemoryDatabase) -> None:
    with with_correlation_context("request-7"):
        async with ShopUnitOfWork(database):
            assert get_correlation_id() == "request-7"


async def test_a_child_task_is_told_that_it_is_not_its_own(database: InMemoryDatabase) -> None:
    async with ShopUnitOfWork(database) as uow:
        with pytest.raises(ForeignTaskError, match="let the new task send a command of its own"):
            await asyncio.create_task(current())
        with pytest.raises(ForeignTaskError):
            await asyncio.create_task(uow.orders.get("o-1"))
        with pytest.raises(ForeignTaskError):
            await asyncio.gather(uow.orders.add(Order(id="o-1")))
    async with ShopUnitOfWork(database) as uow:
        assert await uow.orders.list_all() == []


async def current() -> Any:
    return get_current_uow()


async def test_a_child_task_cannot_use_the_unit_of_work_that_a_handler_gave_it(
    database: InMemoryDatabase,
) -> None:
    async def work(command: Work, uow: ShopUnitOfWork) -> None:
        uses = (uow.orders.get("o-1"), uow.orders.add(Order(id="o-1")), uow.commit())
        for use in uses:
            with pytest.raises(ForeignTaskError):
                await asyncio.create_task(use)

    await mediator_for(work, database).send(Work())
    assert database.table(Order).rows == {}


async def test_a_worker_thread_is_told_the_same(database: InMemoryDatabase) -> None:
    async with ShopUnitOfWork(database):
        with pytest.raises(ForeignTaskError):
            await asyncio.to_thread(get_current_uow)


async def test_a_task_that_outlives_the_scope_is_told_that_it_has_ended(
    database: InMemoryDatabase,
) -> None:
    ended = asyncio.Event()

    async def look_later() -> Any:
        await ended.wait()
        return get_current_uow()

    async with ShopUnitOfWork(database):
        later = asyncio.create_task(look_later())
    ended.set()
    with pytest.raises(UnitOfWorkClosedError, match="would never be committed"):
        await later


async def test_a_unit_of_work_that_was_kept_is_of_no_use_after_its_end(
    database: InMemoryDatabase,
) -> None:
    kept: list[ShopUnitOfWork] = []

    async def work(command: Work, uow: ShopUnitOfWork) -> None:
        kept.append(uow)

    await mediator_for(work, database).send(Work())
    (uow,) = kept
    with pytest.raises(UnitOfWorkClosedError):
        await uow.orders.get("o-1")
    with pytest.raises(UnitOfWorkClosedError):
        await uow.orders.add(Order(id="o-1"))
    with pytest.raises(UnitOfWorkClosedError):
        await uow.commit()
    with pytest.raises(UnitOfWorkClosedError):
        async with uow:
            pass


async def test_a_declared_repository_is_the_same_each_time_and_of_its_unit_of_work(
    database: InMemoryDatabase,
) -> None:
    async with ShopUnitOfWork(database) as uow, ShopUnitOfWork(database) as other:
        assert uow.orders is uow.orders
        assert uow.orders is not other.orders
        assert isinstance(uow.orders, IRepository)


def test_a_declaration_tells_what_it_declares() -> None:
    assert ShopUnitOfWork.orders.declaration() == (Order, {})
    assert ShopUnitOfWork.archive.declaration() == (Order, {"table": None})


async def test_a_repository_without_unit_of_work_joins_the_current_one(
    database: InMemoryDatabase,
) -> None:
    orders = InMemoryRepository[Order, str]()

    async def fail() -> None:
        async with ShopUnitOfWork(database):
            await orders.add(Order(id="o-1"))
            assert await orders.get("o-1") is not None
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert len(orders) == 0
    async with ShopUnitOfWork(database):
        await orders.add(Order(id="o-2"))
        assert len(orders) == 0
    assert len(orders) == 1


async def test_a_repository_without_any_unit_of_work_saves_at_once() -> None:
    orders = InMemoryRepository[Order, str]()
    assert await orders.add(Order(id="o-1", total=3)) == "o-1"
    order = await orders.require("o-1")
    assert (order.total, order.version) == (3, 1)
    order.total = 4
    await orders.add(order)
    assert (await orders.require("o-1")).total == 4
    assert await orders.delete("o-1") == "o-1"
    assert await orders.get("o-1") is None


async def test_reading_a_computed_property_is_no_change(database: InMemoryDatabase) -> None:
    async with ShopUnitOfWork(database) as uow:
        await uow.orders.add(Order(id="o-1", total=3))
    async with ShopUnitOfWork(database) as uow:
        assert (await uow.orders.require("o-1")).doubled == 6
    async with ShopUnitOfWork(database) as uow:
        assert (await uow.orders.require("o-1")).version == 1


async def test_callbacks_after_the_commit_of_a_command_run_when_it_is_done(
    database: InMemoryDatabase,
) -> None:
    log: list[str] = []

    async def work(command: Work, uow: ShopUnitOfWork) -> None:
        async def told() -> None:
            log.append(f"{len(database.table(Order).rows)} committed")

        uow.on_commit(told)
        await uow.orders.add(Order(id="o-1"))

    await mediator_for(work, database).send(Work())
    assert log == ["1 committed"]


async def test_a_failing_callback_after_the_commit_is_logged_and_hides_nothing(
    database: InMemoryDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    async def work(command: Work, uow: ShopUnitOfWork) -> None:
        async def fail() -> None:
            raise OSError("no paper")

        async def told() -> None:
            log.append("told")

        uow.on_commit(fail)
        uow.on_commit(told)
        await uow.orders.add(Order(id="o-1"))

    assert (await mediator_for(work, database).send(Work())).success
    assert (len(database.table(Order).rows), log) == (1, ["told"])
    assert "no paper" in caplog.text


class SlowlyClosing(ShopUnitOfWork):
    def __init__(self, database: InMemoryDatabase) -> None:
        super().__init__(database)
        self.closing, self.may_close, self.closed = asyncio.Event(), asyncio.Event(), False

    def close_at_once(self) -> bool:
        return False

    async def _close(self) -> None:
        self.closing.set()
        await self.may_close.wait()
        self.closed = True


async def test_a_command_cancelled_while_it_ends_gives_back_what_it_holds(
    database: InMemoryDatabase,
) -> None:
    async def work(command: Work, uow: ShopUnitOfWork) -> None:
        await uow.orders.add(Order(id="o-1"))

    registry, uow = HandlerRegistry(), SlowlyClosing(database)
    registry.register_command_handler(Work, work)
    sending = asyncio.create_task(Mediator(registry, lambda: uow).send(Work()))
    await uow.closing.wait()
    sending.cancel()
    await asyncio.sleep(0)
    uow.may_close.set()
    await asyncio.wait([sending])
    assert (sending.cancelled(), uow.closed) == (True, True)
    assert len(database.table(Order).rows) == 1


class SlowlyUndone(ShopUnitOfWork):
    def __init__(self, database: InMemoryDatabase) -> None:
        super().__init__(database)
        self.undoing, self.may_undo, self.undone = asyncio.Event(), asyncio.Event(), False

    async def _rollback(self) -> None:
        self.undoing.set()
        await self.may_undo.wait()
        self.undone = True


@pytest.mark.parametrize("how", ["command", "block"])
async def test_undoing_is_finished_when_it_is_cancelled_half_way(
    database: InMemoryDatabase, how: str
) -> None:
    uow = SlowlyUndone(database)

    async def fail(command: Work) -> None:
        raise LookupError

    async def fail_in_block() -> None:
        async with uow:
            raise LookupError

    registry = HandlerRegistry()
    registry.register_command_handler(Work, fail)
    mediator = Mediator(registry, lambda: uow)
    task = asyncio.ensure_future(mediator.send(Work()) if how == "command" else fail_in_block())
    await uow.undoing.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    uow.may_undo.set()
    await asyncio.wait([task])
    assert (task.cancelled(), uow.undone) == (True, True)


async def test_a_failure_to_give_back_what_was_held_does_not_fail_a_committed_command(
    database: InMemoryDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenClosing(ShopUnitOfWork):
        def close_at_once(self) -> bool:
            return False

        async def _close(self) -> None:
            raise OSError("connection lost")

    async def work(command: Work, uow: ShopUnitOfWork) -> str:
        return await uow.orders.add(Order(id="o-1"))

    registry = HandlerRegistry()
    registry.register_command_handler(Work, work)
    mediator = Mediator(registry, lambda: BrokenClosing(database))
    assert (await mediator.send(Work())).result == "o-1"
    assert "BrokenClosing could not be ended; its work is done" in caplog.text
    assert "connection lost" in caplog.text


async def test_events_of_a_deleted_aggregate_are_told_too(database: InMemoryDatabase) -> None:
    handled: list[str | None] = []

    async def on_shipped(event: Shipped) -> None:
        handled.append(event.aggregate_id)

    async def work(command: Work, uow: ShopUnitOfWork) -> None:
        order = await uow.orders.require("o-1")
        order.add_event(Shipped())
        await uow.orders.delete("o-1")
        new = Order(id="o-2")
        await uow.orders.add(new)
        new.add_event(Shipped())
        await uow.orders.delete("o-2")

    registry = HandlerRegistry()
    registry.register_command_handler(Work, work)
    registry.register_event_handler(Shipped, on_shipped)
    mediator = Mediator(registry, lambda: ShopUnitOfWork(database))
    async with ShopUnitOfWork(database) as uow:
        await uow.orders.add(Order(id="o-1"))
    response = await mediator.send(Work())
    assert sorted(map(str, handled)) == ["o-1", "o-2"]
    assert len(response.events) == 2
    async with ShopUnitOfWork(database) as uow:
        assert await uow.orders.list_all() == []


async def test_a_storage_in_memory_refuses_a_unit_of_work_of_another_store() -> None:
    async with ElsewhereUnitOfWork():
        for use in (
            InMemoryOutboxStorage().get_pending(),
            InMemoryIdempotencyStore().save("k-1", "result"),
            InMemoryRepository[Order, str]().add(Order(id="o-1")),
        ):
            with pytest.raises(PersistenceError, match="cannot commit together"):
                await use


async def test_a_background_task_with_a_context_of_its_own_uses_storages_by_itself(
    database: InMemoryDatabase,
) -> None:
    orders = InMemoryRepository[Order, str]()

    async def work() -> str:
        return await orders.add(Order(id="o-1"))

    async with ShopUnitOfWork(database):
        assert await asyncio.create_task(work(), context=Context()) == "o-1"
        assert len(orders) == 1


async def test_callbacks_after_the_commit_run_outside_of_the_unit_of_work(
    database: InMemoryDatabase,
) -> None:
    seen: list[object] = []

    async def look() -> None:
        with pytest.raises(NoUnitOfWorkError):
            get_current_uow()
        seen.append(get_correlation_id())

    with with_correlation_context("request-7"):
        async with ShopUnitOfWork(database) as uow:
            uow.on_commit(look)
            await uow.commit()
            assert get_current_uow() is uow
    assert seen == ["request-7"]
