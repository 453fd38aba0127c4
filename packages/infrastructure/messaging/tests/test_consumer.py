"""The consumer runtime: effect and inbox in one transaction, context, commands, errors."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    BaseEventConsumer,
    Command,
    ConsumerSettings,
    DomainEvent,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryInboxStorage,
    InMemoryOutboxStorage,
    InMemoryUnitOfWork,
    IWorkerPart,
    JsonMessageCodec,
    Mediator,
    MiddlewareRegistry,
    OutboxMessage,
    OutboxMiddleware,
    PartState,
    PartStatus,
    RetryPolicy,
    Worker,
    get_causation_id,
    get_correlation_id,
    get_current_uow,
    get_tenant_id,
    repository,
    with_tenant,
)
from cqrs_ddd_core.cqrs.consumers.settings import is_transient
from cqrs_ddd_core.middleware.outbox import outbox_message
from cqrs_ddd_core.testing import until
from cqrs_ddd_messaging.memory import InMemoryConsumer, InMemoryMessageBus, InMemoryPublisher

FAST = RetryPolicy(max_attempts=3, base_delay=0.001, max_delay=0.002)


class Account(AggregateRoot[str]):
    balance: int = 0


class Paid(DomainEvent):
    amount: int


class Credited(DomainEvent):
    amount: int


class Credit(Command[int]):
    account: str
    amount: int


class Bank(InMemoryUnitOfWork):
    accounts = repository(Account)


class World:
    def __init__(self) -> None:
        self.bus = InMemoryMessageBus()
        self.bus.declare_queue("bank")
        self.publisher = InMemoryPublisher(self.bus)
        self.database, self.inbox = InMemoryDatabase(), InMemoryInboxStorage()
        self.outbox = InMemoryOutboxStorage()
        self.registry = HandlerRegistry()

    def uow(self) -> Bank:
        return Bank(self.database)

    @asynccontextmanager
    async def consuming(self, **options: Any) -> AsyncGenerator[BaseEventConsumer]:
        settings: dict[str, Any] = {"retry_policy": FAST, **options.pop("settings", {})}
        consumer = BaseEventConsumer(
            InMemoryConsumer(self.bus, "bank"),
            options.pop("handlers", self.registry),
            name="bank",
            uow_factory=self.uow,
            inbox=self.inbox,
            settings=ConsumerSettings(**settings),
            **options,
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def publish(self, *events: Any, **values: Any) -> None:
        for event in events:
            encoded = outbox_message(event, JsonMessageCodec())
            message = OutboxMessage(**{**_fields(encoded), **values})
            assert await self.publisher.publish([message]) == [None]

    async def balance(self, account: str) -> int:
        async with self.uow() as uow:
            found = await uow.accounts.get(account)
            return found.balance if found is not None else 0


def _fields(message: OutboxMessage) -> dict[str, Any]:
    return {name: getattr(message, name) for name in OutboxMessage.__dataclass_fields__}


async def credit(event: Paid, uow: Bank) -> None:
    account = await uow.accounts.get(event.aggregate_id or "")
    if account is None:
        account = Account(id=event.aggregate_id or "")
        await uow.accounts.add(account)
    account.balance += event.amount


@pytest.fixture
def world() -> World:
    world = World()
    world.registry.register_event_handler(Paid, credit)
    return world


def paid(amount: int = 1, account: str = "a") -> Paid:
    return Paid(aggregate_id=account, aggregate_type="Account", amount=amount)


async def settled(consumer: BaseEventConsumer, count: int) -> None:
    await until(lambda: consumer.settled >= count, 30)


async def test_a_message_delivered_twice_has_one_effect(world: World) -> None:
    event = paid(5)
    async with world.consuming() as consumer:
        await world.publish(event, event, paid(1), event)
        await settled(consumer, 4)
    assert await world.balance("a") == 6


async def test_a_repetition_inside_one_batch_has_one_effect(world: World) -> None:
    event = paid(5)
    await world.publish(event, event, event)
    async with world.consuming() as consumer:
        await settled(consumer, 3)
    assert await world.balance("a") == 5


async def test_messages_waiting_share_a_unit_of_work(world: World) -> None:
    opened: list[Bank] = []

    def uow() -> Bank:
        opened.append(Bank(world.database))
        return opened[-1]

    world.uow = uow
    await world.publish(*(paid() for _ in range(40)))
    async with world.consuming() as consumer:
        await settled(consumer, 40)
    assert await world.balance("a") == 40
    assert len(opened) < 10


async def test_a_bad_message_in_a_batch_leaves_no_trace_and_the_others_are_handled(
    world: World,
) -> None:
    async def refuse(event: Paid) -> None:
        if event.amount < 0:
            raise ValueError("negative")

    world.registry.register_event_handler(Paid, refuse)
    await world.publish(paid(1), paid(-100), paid(2), paid(4, "b"))
    async with world.consuming() as consumer:
        await settled(consumer, 4)
    assert (await world.balance("a"), await world.balance("b")) == (3, 4)
    (dead,) = world.bus.dead_letters("bank")
    assert (type(dead.error), dead.attempt) == (ValueError, 3)


async def test_context_is_that_of_each_message(world: World) -> None:
    seen: list[tuple[str | None, str | None, str | None]] = []

    async def look(_: Paid) -> None:
        seen.append((get_correlation_id(), get_causation_id(), get_tenant_id()))
        assert isinstance(get_current_uow(), Bank)

    world.registry.register_event_handler(Paid, look)
    await world.publish(paid(), message_id="m-1", correlation_id="c-1", tenant_id="t-1")
    await world.publish(paid(), message_id="m-2", correlation_id="c-2")
    async with world.consuming() as consumer:
        await settled(consumer, 2)
    assert seen == [("c-1", "m-1", "t-1"), ("c-2", "m-2", None)]
    assert (get_correlation_id(), get_tenant_id()) == (None, None)


async def test_a_command_is_carried_out_in_the_messages_unit_of_work(world: World) -> None:
    async def carry_out(command: Credit, uow: Bank) -> int:
        account = Account(id=command.account, balance=command.amount)
        account.add_event(Credited(amount=command.amount))
        await uow.accounts.add(account)
        return account.balance

    world.registry.register_command_handler(Credit, carry_out)
    middleware = MiddlewareRegistry([OutboxMiddleware(world.outbox)])
    mediator = Mediator(world.registry, world.uow, middleware_registry=middleware)
    await world.publish(
        Credit(account="b", amount=7), message_id="m-1", correlation_id="c-1", tenant_id="t-1"
    )
    async with world.consuming(mediator=mediator) as consumer:
        await settled(consumer, 1)
    assert await world.balance("b") == 7
    assert await world.inbox.handled("bank", ["m-1"]) == {"m-1"}
    (told,) = await world.outbox.get_pending()
    assert (told.event_type, told.correlation_id) == ("Credited", "c-1")


async def test_a_type_nobody_handles_is_parked_or_skipped_as_asked(world: World) -> None:
    await world.publish(Credited(amount=1))
    async with world.consuming() as consumer:
        await settled(consumer, 1)
    (dead,) = world.bus.dead_letters("bank")
    assert type(dead.error).__name__ == "UnknownMessageTypeError"
    await world.publish(Credited(amount=1), paid())
    async with world.consuming(unknown_types="skip") as consumer:
        await settled(consumer, 2)
    assert len(world.bus.dead_letters("bank")) == 1
    assert await world.balance("a") == 1


async def test_a_lost_connection_of_the_handler_costs_no_attempt(world: World) -> None:
    failures = iter([ConnectionRefusedError()] * 10)

    async def handle(_: OutboxMessage) -> None:
        for failure in failures:
            raise failure

    await world.publish(paid())
    async with world.consuming(handlers=handle) as consumer:
        await settled(consumer, 1)
    assert world.bus.dead_letters("bank") == []
    assert is_transient(ConnectionResetError())
    assert not is_transient(ValueError())


async def test_a_message_that_kills_its_consumers_is_parked_in_the_end(world: World) -> None:
    await world.publish(paid())
    for _ in range(3):
        async with InMemoryConsumer(world.bus, "bank").connect() as dying:
            await dying.receive(1)
    async with world.consuming(settings={"max_redeliveries": 2}) as consumer:
        await settled(consumer, 1)
    (dead,) = world.bus.dead_letters("bank")
    assert type(dead.error).__name__ == "RedeliveredTooOftenError"


async def test_a_cancelled_wait_inside_a_handler_is_a_failure_like_others(world: World) -> None:
    async def handle(_: OutboxMessage) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    await world.publish(paid())
    async with world.consuming(handlers=handle) as consumer:
        await settled(consumer, 1)
    (dead,) = world.bus.dead_letters("bank")
    assert type(dead.error).__name__ == "HandlerCancelledError"


async def test_starting_twice_and_stopping_twice_is_no_harm(world: World) -> None:
    async with world.consuming() as consumer:
        await consumer.start()
        await world.publish(paid())
        await settled(consumer, 1)
        await consumer.stop()
    await consumer.stop()
    assert not consumer.is_connected
    assert await world.balance("a") == 1


async def test_as_a_part_of_a_worker_it_tells_how_it_gets_on(world: World) -> None:
    entered, may_go_on = asyncio.Event(), asyncio.Event()

    async def handle(_: OutboxMessage) -> None:
        entered.set()
        await may_go_on.wait()

    settings = ConsumerSettings(reconnect_policy=FAST)
    consumer = BaseEventConsumer(
        InMemoryConsumer(world.bus, "bank"), handle, name="bank", settings=settings
    )
    assert isinstance(consumer, IWorkerPart)
    async with Worker([consumer]) as worker:

        def part() -> PartStatus:
            return worker.status().parts[0]

        await until(lambda: part().idle, 30)
        await world.publish(paid())
        await entered.wait()
        assert (part().name, part().lag, part().idle, part().healthy) == ("bank", 1, False, True)
        may_go_on.set()
        await until(lambda: part().idle, 30)
        world.bus.go_down()
        await until(lambda: part().in_trouble, 30)
        assert "BrokerUnavailableError" in (part().last_error or "")
        world.bus.come_back()
        await until(lambda: part().healthy and part().idle, 30)
    assert part().state is PartState.STOPPED
    assert not consumer.is_connected


async def test_the_tenant_at_work_is_noted_on_what_leaves(world: World) -> None:
    with with_tenant("t-9"):
        assert outbox_message(paid(), JsonMessageCodec()).tenant_id == "t-9"
    assert outbox_message(paid(), JsonMessageCodec()).tenant_id is None
