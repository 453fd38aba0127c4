"""Event handlers: in the transaction, after the commit, or through the outbox."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    CommandResponse,
    DomainError,
    DomainEvent,
    EventCascadeError,
    EventDispatcher,
    EventHandlerFailure,
    EventPhase,
    EventStorePersistenceMiddleware,
    HandlerRegistrationError,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryEventStore,
    InMemoryOutboxStorage,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    NoUnitOfWorkError,
    OutboxMiddleware,
    get_causation_id,
    get_correlation_id,
    get_current_uow,
    repository,
)

IN_TRANSACTION = EventPhase.IN_TRANSACTION


class Placed(DomainEvent):
    pass


class Paid(DomainEvent):
    pass


class PaidLate(Paid):
    pass


class Order(AggregateRoot[str]):
    paid: bool = False


class ShopUnitOfWork(InMemoryUnitOfWork):
    orders = repository(Order)


class PlaceOrder(Command[None]):
    events: int = 1
    fail: bool = False


class CountOrders(Command[int]):
    pass


class RefusedError(DomainError):
    pass


class Shop:
    def __init__(self, dispatcher: EventDispatcher | None = None) -> None:
        self.database, self.outbox = InMemoryDatabase(), InMemoryOutboxStorage()
        self.registry, self.log = HandlerRegistry(), list[str]()
        self.registry.register_command_handler(PlaceOrder, self.place)
        self.registry.register_command_handler(CountOrders, self.count)
        self.mediator = Mediator(
            self.registry,
            lambda: ShopUnitOfWork(self.database),
            middleware_registry=MiddlewareRegistry([OutboxMiddleware(self.outbox)]),
            event_dispatcher=dispatcher,
            max_event_depth=10,
        )

    async def place(self, command: PlaceOrder, uow: ShopUnitOfWork) -> CommandResponse[None]:
        await uow.orders.add(Order(id="o-1"))
        if command.fail:
            raise RefusedError
        return CommandResponse(None, events=[Placed() for _ in range(command.events)])

    async def count(self, command: CountOrders, uow: ShopUnitOfWork) -> int:
        return len(await uow.orders.list_all())

    async def orders(self) -> int:
        async with ShopUnitOfWork(self.database) as uow:
            return len(await uow.orders.list_all())


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def test_in_transaction_handlers_run_before_the_commit_on_the_same_unit_of_work(
    shop: Shop,
) -> None:
    seen: list[tuple[bool, int, int]] = []

    async def on_placed(event: Placed, uow: ShopUnitOfWork) -> None:
        seen.append((get_current_uow() is uow, len(await uow.orders.list_all()), await committed()))
        (await uow.orders.require("o-1")).paid = True

    async def committed() -> int:
        return len(shop.database.table(Order).rows)

    shop.registry.register_event_handler(Placed, on_placed, phase=IN_TRANSACTION)
    await shop.mediator.send(PlaceOrder())
    assert seen == [(True, 1, 0)]
    async with ShopUnitOfWork(shop.database) as uow:
        assert (await uow.orders.require("o-1")).paid


async def test_in_transaction_handlers_run_one_after_another(shop: Shop) -> None:
    def handler(name: str) -> Callable[[Placed], Awaitable[None]]:
        async def handle(event: Placed) -> None:
            shop.log.append(f"{name} begins")
            await asyncio.sleep(0)
            shop.log.append(f"{name} ends")

        return handle

    for name in ("first", "second"):
        shop.registry.register_event_handler(Placed, handler(name), phase=IN_TRANSACTION)
    await shop.mediator.send(PlaceOrder(events=2))
    assert shop.log == ["first begins", "first ends", "second begins", "second ends"] * 2


async def test_a_failing_in_transaction_handler_fails_the_command_and_stops_the_others(
    shop: Shop,
) -> None:
    async def fail(event: Placed) -> None:
        raise RefusedError

    async def follow(event: Placed) -> None:
        shop.log.append("after the failure")

    async def after_commit(event: Placed) -> None:
        shop.log.append("after commit")

    shop.registry.register_event_handler(Placed, fail, phase=IN_TRANSACTION)
    shop.registry.register_event_handler(Placed, follow, phase=IN_TRANSACTION)
    shop.registry.register_event_handler(Placed, after_commit)
    with pytest.raises(RefusedError):
        await shop.mediator.send(PlaceOrder())
    assert shop.log == []
    assert await shop.orders() == 0
    assert await shop.outbox.get_pending() == []


async def test_events_raised_by_in_transaction_handlers_join_the_queue(shop: Shop) -> None:
    async def pay(event: Placed, uow: ShopUnitOfWork) -> None:
        shop.log.append("placed")
        (await uow.orders.require("o-1")).add_event(Paid())

    async def on_paid(event: Paid) -> None:
        shop.log.append("paid")

    async def after_commit(event: Paid) -> None:
        shop.log.append("paid, committed")

    shop.registry.register_event_handler(Placed, pay, phase=IN_TRANSACTION)
    shop.registry.register_event_handler(Paid, on_paid, phase=IN_TRANSACTION)
    shop.registry.register_event_handler(Paid, after_commit)
    command = PlaceOrder()
    await shop.mediator.send(command)
    assert shop.log == ["placed", "paid", "paid, committed"]
    placed, paid = await shop.outbox.get_pending()
    assert (placed.event_type, paid.event_type) == ("Placed", "Paid")
    assert placed.causation_id == command.command_id
    assert paid.causation_id == placed.message_id
    assert paid.correlation_id == placed.correlation_id == command.command_id


async def test_events_that_raise_each_other_for_ever_are_an_error_that_shows_the_chain(
    shop: Shop,
) -> None:
    async def ping(event: Placed) -> None:
        await shop.mediator.publish(Paid())

    async def pong(event: Paid) -> None:
        await shop.mediator.publish(Placed())

    shop.registry.register_event_handler(Placed, ping, phase=IN_TRANSACTION)
    shop.registry.register_event_handler(Paid, pong, phase=IN_TRANSACTION)
    with pytest.raises(EventCascadeError, match="Paid -> Placed -> Paid") as caught:
        await shop.mediator.send(PlaceOrder())
    assert caught.value.limit == 10
    assert await shop.orders() == 0


async def test_many_events_of_one_cause_are_no_cascade(shop: Shop) -> None:
    async def on_placed(event: Placed) -> None:
        await shop.mediator.publish(Paid())

    shop.registry.register_event_handler(Placed, on_placed, phase=IN_TRANSACTION)
    await shop.mediator.send(PlaceOrder(events=50))
    assert len(await shop.outbox.get_pending(1000)) == 100


async def test_after_commit_handlers_see_what_was_committed(shop: Shop) -> None:
    async def on_placed(event: Placed) -> None:
        response = await shop.mediator.send(CountOrders())
        shop.log.append(f"{response.result} order")

    shop.registry.register_event_handler(Placed, on_placed)
    await shop.mediator.send(PlaceOrder())
    assert shop.log == ["1 order"]


async def test_after_commit_handlers_do_not_run_for_a_command_that_failed(shop: Shop) -> None:
    async def on_placed(event: Placed) -> None:
        shop.log.append("told")

    shop.registry.register_event_handler(Placed, on_placed)
    with pytest.raises(RefusedError):
        await shop.mediator.send(PlaceOrder(fail=True))
    assert shop.log == []


async def test_an_after_commit_handler_has_no_unit_of_work_and_is_told_what_to_do(
    shop: Shop,
) -> None:
    async def on_placed(event: Placed) -> None:
        with pytest.raises(NoUnitOfWorkError, match="let them send a command"):
            get_current_uow()
        shop.log.append("told")

    shop.registry.register_event_handler(Placed, on_placed)
    await shop.mediator.send(PlaceOrder())
    assert shop.log == ["told"]


async def test_after_commit_handlers_go_on_with_the_conversation(shop: Shop) -> None:
    seen: list[tuple[str | None, str | None]] = []

    async def on_placed(event: Placed) -> None:
        seen.append((get_correlation_id(), get_causation_id()))
        response = await shop.mediator.send(CountOrders())
        seen.append((response.correlation_id, response.causation_id))

    shop.registry.register_event_handler(Placed, on_placed)
    command = PlaceOrder(correlation_id="request-7")
    response = await shop.mediator.send(command)
    assert seen == [("request-7", response.events[0].event_id)] * 2


async def test_after_commit_handlers_run_at_the_same_time_within_the_bound() -> None:
    shop = Shop(EventDispatcher(max_concurrency=3))
    running, most, three = 0, 0, asyncio.Barrier(3)

    async def on_placed(event: Placed) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await three.wait()
        running -= 1

    shop.registry.register_event_handler(Placed, on_placed)
    await shop.mediator.send(PlaceOrder(events=9))
    assert (most, running) == (3, 0)


async def test_failures_after_the_commit_are_reported_and_hide_nothing() -> None:
    failures: list[EventHandlerFailure] = []
    shop = Shop(EventDispatcher(on_failure=failures.append))

    async def fail(event: Placed) -> None:
        raise RefusedError("first")

    class FailToo:
        async def handle(self, event: Placed) -> None:
            raise ValueError("second")

    async def succeed(event: Placed) -> None:
        shop.log.append("told")

    shop.registry.register_event_handler(Placed, fail)
    shop.registry.register_event_handler(Placed, FailToo())
    shop.registry.register_event_handler(Placed, succeed)
    response = await shop.mediator.send(PlaceOrder())
    assert response.success
    assert await shop.orders() == 1
    assert shop.log == ["told"]
    assert [str(failure.error) for failure in failures] == ["first", "second"]
    assert failures[0].event is response.events[0]
    assert "FailToo" in repr(failures[1])


async def test_failures_after_the_commit_go_to_the_log_by_default(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(event: Placed) -> None:
        raise RefusedError("out of paper")

    shop.registry.register_event_handler(Placed, fail)
    with caplog.at_level(logging.ERROR):
        await shop.mediator.send(PlaceOrder())
    assert "fail failed on Placed; its command has succeeded" in caplog.text
    assert "out of paper" in caplog.text


async def test_a_failing_report_does_not_fail_the_command(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def report(failure: EventHandlerFailure) -> None:
        raise OSError("the pager is off")

    shop = Shop(EventDispatcher(on_failure=report))

    async def fail(event: Placed) -> None:
        raise RefusedError("out of paper")

    async def succeed(event: Placed) -> None:
        shop.log.append("told")

    shop.registry.register_event_handler(Placed, fail)
    shop.registry.register_event_handler(Placed, succeed)
    assert (await shop.mediator.send(PlaceOrder())).success
    assert shop.log == ["told"]
    assert "the pager is off" in caplog.text
    assert "out of paper" in caplog.text


async def test_a_handler_whose_own_work_was_cancelled_has_failed_and_nothing_else() -> None:
    failures: list[EventHandlerFailure] = []
    shop = Shop(EventDispatcher(max_concurrency=1, on_failure=failures.append))

    async def await_what_is_cancelled(event: Placed) -> None:
        inner = asyncio.ensure_future(asyncio.Event().wait())
        inner.cancel()
        await inner

    async def succeed(event: Placed) -> None:
        shop.log.append("told")

    shop.registry.register_event_handler(Placed, await_what_is_cancelled)
    assert (await shop.mediator.send(PlaceOrder())).success
    shop.registry.register_event_handler(Placed, succeed)
    shop.database.clear()
    assert (await shop.mediator.send(PlaceOrder())).success
    assert shop.log == ["told"]
    assert [type(failure.error) for failure in failures] == [asyncio.CancelledError] * 2


@pytest.mark.parametrize("handlers", [1, 3])
async def test_cancelling_the_sender_cancels_its_after_commit_handlers(
    shop: Shop, handlers: int
) -> None:
    started = asyncio.Event()

    def handler() -> Callable[[Placed], Awaitable[None]]:
        async def hang(event: Placed) -> None:
            started.set()
            await asyncio.Event().wait()

        return hang

    for _ in range(handlers):
        shop.registry.register_event_handler(Placed, handler())
    sending = asyncio.create_task(shop.mediator.send(PlaceOrder()))
    await started.wait()
    sending.cancel()
    await asyncio.wait([sending])
    assert sending.cancelled()
    assert await shop.orders() == 1


async def test_handlers_of_a_base_type_are_found_in_every_phase(shop: Shop) -> None:
    async def before(event: Paid) -> None:
        shop.log.append(f"before {type(event).__name__}")

    async def after(event: DomainEvent) -> None:
        shop.log.append(f"after {type(event).__name__}")

    async def on_late(event: PaidLate) -> None:
        shop.log.append("late")

    shop.registry.register_event_handler(Paid, before, phase=IN_TRANSACTION)
    shop.registry.register_event_handler(DomainEvent, after)
    shop.registry.register_event_handler(PaidLate, on_late)
    await shop.mediator.publish(PaidLate())
    assert shop.log == ["before PaidLate", "after PaidLate", "late"]


async def test_a_handler_of_a_derived_type_does_not_get_its_base(shop: Shop) -> None:
    async def on_late(event: PaidLate) -> None:
        shop.log.append("late")

    shop.registry.register_event_handler(PaidLate, on_late)
    await shop.mediator.publish(Paid())
    assert shop.log == []


async def test_synchronous_event_handlers_work_in_both_phases(shop: Shop) -> None:
    def before(event: Placed) -> None:
        shop.log.append("before")

    def after(event: Placed) -> None:
        shop.log.append("after")

    shop.registry.register_event_handler(Placed, after, in_thread=True)
    shop.registry.register_event_handler(Placed, before, phase=IN_TRANSACTION)
    await shop.mediator.send(PlaceOrder())
    assert shop.log == ["before", "after"]


async def test_events_outside_of_pydantic_are_handled_once_each(shop: Shop) -> None:
    class Tick:
        pass

    async def on_tick(event: Tick) -> None:
        shop.log.append("tick")

    class TickTwice(Command[None]):
        pass

    async def tick_twice(command: TickTwice) -> CommandResponse[None]:
        tick = Tick()
        return CommandResponse(None, events=[tick, tick, Tick()])

    registry = HandlerRegistry()
    registry.register_command_handler(TickTwice, tick_twice)
    registry.register_event_handler(Tick, on_tick)
    response = await Mediator(registry, InMemoryUnitOfWork).send(TickTwice())
    assert shop.log == ["tick", "tick"]
    assert len(response.events) == 2


async def test_a_durable_handler_needs_an_outbox() -> None:
    async def on_placed(event: Placed) -> None: ...

    registry = HandlerRegistry()
    registry.register_event_handler(Placed, on_placed, phase=EventPhase.DURABLE)
    with pytest.raises(HandlerRegistrationError, match="Placed has a DURABLE handler") as caught:
        Mediator(registry, InMemoryUnitOfWork)
    assert "OutboxMiddleware(outbox)" in caught.value.problems[0]


async def test_an_event_store_is_no_outbox_for_durable_handlers() -> None:
    async def on_placed(event: Placed) -> None: ...

    registry = HandlerRegistry()
    registry.register_event_handler(Placed, on_placed, phase=EventPhase.DURABLE)
    middlewares = MiddlewareRegistry([EventStorePersistenceMiddleware(InMemoryEventStore())])
    with pytest.raises(HandlerRegistrationError, match="there is no outbox"):
        Mediator(registry, InMemoryUnitOfWork, middleware_registry=middlewares)


async def test_the_event_of_a_durable_handler_waits_in_the_outbox(shop: Shop) -> None:
    async def on_placed(event: Placed) -> None:
        shop.log.append("handled in process")

    shop.registry.register_event_handler(Placed, on_placed, phase=EventPhase.DURABLE)
    await shop.mediator.send(PlaceOrder())
    assert [message.event_type for message in await shop.outbox.get_pending()] == ["Placed"]
    assert shop.log == []


async def test_a_dispatcher_alone_runs_the_handlers_it_was_given() -> None:
    seen: list[object] = []
    dispatcher = EventDispatcher()
    dispatcher.register(Placed, seen.append)
    dispatcher.register(DomainEvent, seen.append)
    placed, paid = Placed(), Paid()
    assert await dispatcher.dispatch([placed]) == []
    assert await dispatcher.dispatch([paid]) == []
    assert seen == [placed, placed, paid]
    assert list(dispatcher.get_registered_handlers()) == [Placed, DomainEvent]
    assert (get_correlation_id(), get_causation_id()) == (None, None)
    dispatcher.clear()
    await dispatcher.dispatch([placed])
    assert len(seen) == 3
