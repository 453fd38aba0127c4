"""The way of one message: found, handled in a unit of work, committed or undone."""

import asyncio
from contextlib import suppress

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    CommandResponse,
    ConcurrencyError,
    DomainError,
    DomainEvent,
    EventPhase,
    HandlerNotFoundError,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryOutboxStorage,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    OutboxMiddleware,
    Query,
    QueryResponse,
    ReadOnlyUnitOfWorkError,
    get_current_uow,
    repository,
    with_correlation_context,
)


class OrderPlaced(DomainEvent):
    total: int


class Order(AggregateRoot[str]):
    total: int

    def change(self, total: int) -> None:
        self.total = total
        self.add_event(OrderPlaced(total=total))


class ShopUnitOfWork(InMemoryUnitOfWork):
    orders = repository(Order)


class PlaceOrder(Command[str]):
    order_id: str
    total: int = 1


class ChangeOrder(Command[int]):
    order_id: str
    total: int


class TotalOf(Query[int]):
    order_id: str


class TooMuchError(DomainError):
    pass


class Shop:
    """The mediator of a small shop, and every unit of work it has opened."""

    def __init__(self) -> None:
        self.database = InMemoryDatabase()
        self.units: list[ShopUnitOfWork] = []
        self.registry = HandlerRegistry()
        self.registry.register_command_handler(PlaceOrder, self.place)
        self.registry.register_command_handler(ChangeOrder, self.change)
        self.registry.register_query_handler(TotalOf, self.total_of)
        self.mediator = Mediator(self.registry, self.open)

    def open(self) -> ShopUnitOfWork:
        self.units.append(ShopUnitOfWork(self.database))
        return self.units[-1]

    async def place(self, command: PlaceOrder, uow: ShopUnitOfWork) -> CommandResponse[str]:
        await uow.orders.add(Order(id=command.order_id, total=command.total))
        if command.total > 100:
            raise TooMuchError(command.order_id)
        event = OrderPlaced(total=command.total, aggregate_id=command.order_id)
        return CommandResponse(command.order_id, events=[event])

    async def change(self, command: ChangeOrder) -> int:
        order = await get_current_uow().orders.require(command.order_id)
        order.change(command.total)
        return order.version

    async def total_of(self, query: TotalOf) -> int:
        order = await get_current_uow().orders.require(query.order_id)
        return order.total


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def test_a_command_is_committed_when_its_handler_returns(shop: Shop) -> None:
    response = await shop.mediator.send(PlaceOrder(order_id="o-1", total=3))
    assert (response.result, response.success) == ("o-1", True)
    assert shop.units[0].committed
    assert (await shop.mediator.query(TotalOf(order_id="o-1"))).result == 3


async def test_an_error_undoes_everything_and_reaches_the_caller_as_it_is(shop: Shop) -> None:
    with pytest.raises(TooMuchError) as caught:
        await shop.mediator.send(PlaceOrder(order_id="o-1", total=101))
    assert caught.value.args == ("o-1",)
    assert (shop.units[0].committed, shop.units[0].rolled_back) == (False, True)
    async with ShopUnitOfWork(shop.database) as uow:
        assert await uow.orders.list_all() == []


async def test_each_root_message_has_a_unit_of_work_of_its_own(shop: Shop) -> None:
    await shop.mediator.send(PlaceOrder(order_id="o-1"))
    await shop.mediator.send(PlaceOrder(order_id="o-2"))
    assert len(shop.units) == 2


async def test_a_plain_return_value_becomes_the_result(shop: Shop) -> None:
    await shop.mediator.send(PlaceOrder(order_id="o-1"))
    response = await shop.mediator.send(ChangeOrder(order_id="o-1", total=5))
    assert isinstance(response, CommandResponse)
    assert response.result == 1


async def test_a_changed_aggregate_is_saved_without_being_added_again(shop: Shop) -> None:
    await shop.mediator.send(PlaceOrder(order_id="o-1"))
    await shop.mediator.send(ChangeOrder(order_id="o-1", total=5))
    assert (await shop.mediator.query(TotalOf(order_id="o-1"))).result == 5


async def test_queries_are_sent_like_commands_and_answered_by_query(shop: Shop) -> None:
    await shop.mediator.send(PlaceOrder(order_id="o-1", total=4))
    sent = await shop.mediator.send(TotalOf(order_id="o-1"))
    asked = await shop.mediator.query(TotalOf(order_id="o-1"))
    assert isinstance(sent, QueryResponse)
    assert sent.result == asked.result == 4


async def test_the_unit_of_work_of_a_query_is_never_committed(shop: Shop) -> None:
    await shop.mediator.send(PlaceOrder(order_id="o-1"))
    await shop.mediator.query(TotalOf(order_id="o-1"))
    assert not shop.units[1].committed


async def test_what_a_query_handler_does_to_an_aggregate_is_not_saved(shop: Shop) -> None:
    class Spoil(Query[None]):
        pass

    async def spoil(query: Spoil, uow: ShopUnitOfWork) -> None:
        (await uow.orders.require("o-1")).total = 99

    shop.registry.register_query_handler(Spoil, spoil)
    await shop.mediator.send(PlaceOrder(order_id="o-1", total=4))
    await shop.mediator.query(Spoil())
    assert (await shop.mediator.query(TotalOf(order_id="o-1"))).result == 4


@pytest.mark.parametrize("action", ["add", "delete", "send", "publish"])
async def test_a_query_handler_that_tries_to_change_something_is_told(
    shop: Shop, action: str
) -> None:
    class Change(Query[None]):
        pass

    async def change(query: Change, uow: ShopUnitOfWork) -> None:
        if action == "add":
            await uow.orders.add(Order(id="o-9", total=1))
        elif action == "delete":
            await uow.orders.delete("o-1")
        elif action == "send":
            await shop.mediator.send(ChangeOrder(order_id="o-1", total=7))
        else:
            await shop.mediator.publish(OrderPlaced(total=1))

    shop.registry.register_query_handler(Change, change)
    await shop.mediator.send(PlaceOrder(order_id="o-1", total=4))
    with pytest.raises(ReadOnlyUnitOfWorkError, match="Make the request a command"):
        await shop.mediator.query(Change())
    assert (await shop.mediator.query(TotalOf(order_id="o-1"))).result == 4


async def test_an_unhandled_message_is_an_error_with_the_fix(shop: Shop) -> None:
    class PlaceOrders(Command[None]):
        pass

    class TotalsOf(Query[int]):
        pass

    with pytest.raises(HandlerNotFoundError, match=r"PlaceOrder has one.*register_command_handler"):
        await shop.mediator.send(PlaceOrders())
    with pytest.raises(HandlerNotFoundError, match=r"register_query_handler\(TotalsOf"):
        await shop.mediator.query(TotalsOf())
    assert shop.units == []


async def test_a_handler_registered_later_is_found(shop: Shop) -> None:
    class Late(Command[str]):
        pass

    async def late(command: Late) -> str:
        return "found"

    with pytest.raises(HandlerNotFoundError):
        await shop.mediator.send(Late())
    shop.registry.register_command_handler(Late, late)
    assert (await shop.mediator.send(Late())).result == "found"


async def test_a_handler_that_was_cleared_is_not_used_any_more(shop: Shop) -> None:
    await shop.mediator.send(PlaceOrder(order_id="o-1"))
    shop.registry.clear()
    with pytest.raises(HandlerNotFoundError):
        await shop.mediator.send(PlaceOrder(order_id="o-2"))


async def test_events_are_those_returned_and_those_pending_each_once(shop: Shop) -> None:
    class Twice(Command[None]):
        pass

    async def twice(command: Twice, uow: ShopUnitOfWork) -> CommandResponse[None]:
        order = Order(id="o-1", total=0)
        await uow.orders.add(order)
        order.change(2)
        returned = OrderPlaced(total=1)
        return CommandResponse(None, events=[returned, returned, *order.pending_events])

    handled: list[int] = []

    async def on_placed(event: OrderPlaced) -> None:
        handled.append(event.total)

    shop.registry.register_command_handler(Twice, twice)
    shop.registry.register_event_handler(OrderPlaced, on_placed)
    response = await shop.mediator.send(Twice())
    assert [event.total for event in response.events] == [1, 2]
    assert handled == [1, 2]


async def test_events_carry_correlation_and_causation(shop: Shop) -> None:
    command = PlaceOrder(order_id="o-1", correlation_id="request-7")
    response = await shop.mediator.send(command)
    (event,) = response.events
    assert event.correlation_id == response.correlation_id == "request-7"
    assert event.causation_id == command.command_id


async def test_a_stale_version_is_refused_with_both_versions(shop: Shop) -> None:
    await shop.mediator.send(PlaceOrder(order_id="o-1"))

    class Race(Command[None]):
        pass

    async def race(command: Race, uow: ShopUnitOfWork) -> None:
        (await uow.orders.require("o-1")).total = 5
        async with ShopUnitOfWork(shop.database) as other:
            (await other.orders.require("o-1")).total = 6

    shop.registry.register_command_handler(Race, race)
    with pytest.raises(ConcurrencyError, match="Load it again") as caught:
        await shop.mediator.send(Race())
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert (await shop.mediator.query(TotalOf(order_id="o-1"))).result == 6


async def test_commands_of_several_tasks_do_not_meet(shop: Shop) -> None:
    class Wait(Command[int]):
        number: int

    both = asyncio.Barrier(2)

    async def wait(command: Wait) -> int:
        before = get_current_uow()
        await both.wait()
        assert get_current_uow() is before
        return id(before)

    shop.registry.register_command_handler(Wait, wait)
    first, second = await asyncio.gather(
        shop.mediator.send(Wait(number=1)), shop.mediator.send(Wait(number=2))
    )
    assert first.result != second.result
    assert first.correlation_id != second.correlation_id


async def test_a_cancelled_command_is_undone(shop: Shop) -> None:
    class Hang(Command[None]):
        pass

    started = asyncio.Event()

    async def hang(command: Hang, uow: ShopUnitOfWork) -> None:
        await uow.orders.add(Order(id="o-1", total=1))
        started.set()
        await asyncio.Event().wait()

    shop.registry.register_command_handler(Hang, hang)
    sending = asyncio.create_task(shop.mediator.send(Hang()))
    await started.wait()
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    assert sending.cancelled()
    assert (shop.units[0].committed, shop.units[0].rolled_back) == (False, True)


async def test_a_published_event_has_a_unit_of_work_of_its_own() -> None:
    outbox, units = InMemoryOutboxStorage(), list[InMemoryUnitOfWork]()
    registry = HandlerRegistry()
    seen: list[tuple[str, bool]] = []

    async def in_transaction(event: OrderPlaced, uow: InMemoryUnitOfWork) -> None:
        seen.append(("in transaction", uow.committed))

    async def after_commit(event: OrderPlaced) -> None:
        seen.append(("after commit", units[0].committed))

    def open_unit() -> InMemoryUnitOfWork:
        units.append(InMemoryUnitOfWork())
        return units[-1]

    registry.register_event_handler(OrderPlaced, after_commit)
    registry.register_event_handler(OrderPlaced, in_transaction, phase=EventPhase.IN_TRANSACTION)
    middlewares = MiddlewareRegistry([OutboxMiddleware(outbox)])
    mediator = Mediator(registry, open_unit, middleware_registry=middlewares)
    event = OrderPlaced(total=1)
    await mediator.publish(event)
    assert seen == [("in transaction", False), ("after commit", True)]
    assert [message.message_id for message in await outbox.get_pending()] == [event.event_id]


async def test_a_published_event_is_part_of_a_conversation() -> None:
    seen: list[tuple[str | None, str | None]] = []

    async def on_placed(event: OrderPlaced) -> None:
        seen.append((event.correlation_id, event.causation_id))

    registry = HandlerRegistry()
    registry.register_event_handler(OrderPlaced, on_placed)
    mediator = Mediator(registry, InMemoryUnitOfWork)
    await mediator.publish(OrderPlaced(total=1, correlation_id="own"))
    with with_correlation_context("request-7", "cause-1"):
        await mediator.publish(OrderPlaced(total=2))
    await mediator.publish(OrderPlaced(total=3))
    assert seen[:2] == [("own", None), ("request-7", "cause-1")]
    assert seen[2][0] is not None


async def test_an_event_published_by_a_handler_shares_the_fate_of_its_command(shop: Shop) -> None:
    class Tell(Command[None]):
        fail: bool

    async def tell(command: Tell) -> None:
        await shop.mediator.publish(OrderPlaced(total=1))
        assert handled == []
        if command.fail:
            raise TooMuchError

    handled: list[OrderPlaced] = []

    async def on_placed(event: OrderPlaced) -> None:
        handled.append(event)

    shop.registry.register_command_handler(Tell, tell)
    shop.registry.register_event_handler(OrderPlaced, on_placed)
    with pytest.raises(TooMuchError):
        await shop.mediator.send(Tell(fail=True))
    assert handled == []
    command = Tell(fail=False)
    await shop.mediator.send(command)
    assert [event.causation_id for event in handled] == [command.command_id]


async def test_messages_sent_in_a_block_of_your_own_join_its_unit_of_work(shop: Shop) -> None:
    handled: list[int] = []

    async def on_placed(event: OrderPlaced) -> None:
        handled.append(event.total)

    shop.registry.register_event_handler(OrderPlaced, on_placed)
    async with ShopUnitOfWork(shop.database) as uow:
        await shop.mediator.send(PlaceOrder(order_id="o-1", total=1))
        await shop.mediator.send(PlaceOrder(order_id="o-2", total=2))
        assert (shop.units, handled, uow.committed) == ([], [], False)
    assert handled == [1, 2]
    assert (await shop.mediator.query(TotalOf(order_id="o-2"))).result == 2


async def test_a_failing_block_of_your_own_undoes_the_messages_sent_in_it(shop: Shop) -> None:
    handled: list[int] = []

    async def on_placed(event: OrderPlaced) -> None:
        handled.append(event.total)

    async def place_and_fail() -> None:
        async with ShopUnitOfWork(shop.database):
            await shop.mediator.send(PlaceOrder(order_id="o-1", total=1))
            raise TooMuchError

    shop.registry.register_event_handler(OrderPlaced, on_placed)
    with pytest.raises(TooMuchError):
        await place_and_fail()
    assert handled == []
    async with ShopUnitOfWork(shop.database) as uow:
        assert await uow.orders.list_all() == []
