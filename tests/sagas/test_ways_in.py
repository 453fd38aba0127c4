"""How events reach a saga: by the relay, by a broker's consumer, in their command, by a call."""

from dataclasses import dataclass

import pytest

from cqrs_ddd_advanced_core.sagas import SagaBuilder, SagaCommandPublisher, SagaStatus
from cqrs_ddd_core import (
    CommandResponse,
    EventPhase,
    HandlerRegistry,
    OutboxMessage,
    get_tenant_id,
    with_tenant,
)
from cqrs_ddd_core.cqrs.consumers.effects import Effects, RegisteredHandlers
from tests.sagas.orders import (
    ItemsReserved,
    OrderCommand,
    OrderCreated,
    ReserveItems,
    fulfilment,
    fulfilment_saga,
)
from tests.sagas.world import Store, memory_store, open_world


@pytest.fixture
def store() -> Store:
    return memory_store()


async def test_the_consumer_of_a_broker_hands_events_to_the_saga_once(store: Store) -> None:
    world = await open_world(store, fulfilment_saga())
    consumer = Effects("shop", RegisteredHandlers(world.mediator.registry), store.uow, store.inbox)
    event = OrderCreated(order_id="o-1", correlation_id="c-1")
    message = OutboxMessage(
        message_id=event.event_id,
        event_type="OrderCreated",
        payload=event.model_dump_json().encode(),
        occurred_at=event.occurred_at,
        correlation_id="c-1",
    )
    for _ in range(2):
        await consumer.apply([message])
    assert (await world.saga()).key == "c-1"
    (command,) = await store.outbox.get_pending()
    assert (command.correlation_id, command.causation_id) == ("c-1", event.event_id)


async def test_a_saga_may_begin_in_the_transaction_of_the_command(store: Store) -> None:
    world = await open_world(store, fulfilment_saga())
    world.mediator.registry.register_event_handler(
        OrderCreated, world.manager.handle, phase=EventPhase.IN_TRANSACTION
    )
    await world.create("o-1")
    assert (await world.saga()).status is SagaStatus.RUNNING
    await world.run()
    assert (await world.done("o-1")).count("ReserveItems") == 1
    assert (await world.saga()).status is SagaStatus.COMPLETED


async def test_tenants_have_sagas_of_their_own_and_commands_run_for_them(store: Store) -> None:
    tenants: list[tuple[str, str | None]] = []

    async def look(command: OrderCommand) -> None:
        tenants.append((type(command).__name__, get_tenant_id()))

    saga = fulfilment().correlate_by("order_id").build()
    world = await open_world(store, saga, before_effect=look)
    for tenant_id in ("t-1", "t-2"):
        with with_tenant(tenant_id):
            await world.manager.handle(OrderCreated(order_id="o-1"))
    assert {(each.tenant_id, each.key) for each in await world.sagas()} == {
        ("t-1", "o-1"),
        ("t-2", "o-1"),
    }
    await world.run()
    assert [each.status for each in await world.sagas()] == [SagaStatus.COMPLETED] * 2
    for name in ("ReserveItems", "ChargePayment", "ConfirmOrder"):
        assert {tenant for each, tenant in tenants if each == name} == {"t-1", "t-2"}


@dataclass(frozen=True)
class Shipped:
    """An event that is no ``DomainEvent``: it has neither id nor correlation id of its own."""

    order_id: str


async def test_events_of_other_classes_are_known_by_their_message(store: Store) -> None:
    saga = (
        SagaBuilder("Plain")
        .correlate_by("order_id")
        .on(Shipped, send=lambda e: ReserveItems(order_id=e.order_id))
        .build()
    )

    def register(registry: HandlerRegistry) -> None:
        async def ship(_: Ship) -> CommandResponse[None]:
            return CommandResponse(None, events=[Shipped("o-1"), Shipped("o-1")])

        registry.register_command_handler(Ship, ship)

    world = await open_world(store, saga, register=register)
    await world.mediator.send(Ship(order_id="o-1"))
    messages = await store.outbox.get_pending()
    for _ in range(2):
        assert await world.publisher.publish(messages) == [None, None]
    await world.run()
    assert await world.done("o-1") == ["ReserveItems"] * 2


class Ship(OrderCommand):
    pass


async def test_a_publisher_finds_its_manager_when_it_is_needed(store: Store) -> None:
    world = await open_world(store, fulfilment_saga())
    await world.manager.handle(OrderCreated(order_id="o-1", correlation_id="c-1"))
    publisher = SagaCommandPublisher(lambda: world.manager)
    assert await publisher.publish(await store.outbox.get_pending()) == [None]
    assert await world.done("o-1") == ["ReserveItems"]


async def test_commands_behind_one_that_cannot_be_read_wait_for_it(store: Store) -> None:
    world = await open_world(store, fulfilment_saga())
    for event_type in (OrderCreated, ItemsReserved):
        await world.manager.handle(event_type(order_id="o-1", correlation_id="c-1"))
    first, second = await store.outbox.get_pending()
    first.payload = b"{"
    outcomes = await world.publisher.publish([first, second])
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "MessageCodecError",
        "EarlierMessageFailedError",
    ]
    assert await world.done("o-1") == []
