"""Events that come twice, late, out of order, all at once, or for nobody."""

import asyncio

import pytest

from cqrs_ddd_advanced_core.sagas import (
    SagaAction,
    SagaBuilder,
    SagaCorrelationError,
    SagaOutcome,
    SagaStatus,
)
from cqrs_ddd_core import DomainEvent, InMemoryLockStrategy
from tests.sagas.orders import (
    CardDeclinedError,
    ChargePayment,
    ConfirmOrder,
    ItemsReserved,
    OrderConfirmed,
    OrderCreated,
    PaymentCharged,
    ReserveItems,
    fulfilment,
)
from tests.sagas.world import Store, World, memory_store, open_world


@pytest.fixture
def store() -> Store:
    return memory_store()


@pytest.fixture
async def world(store: Store) -> World:
    return await open_world(store, fulfilment().correlate_by("order_id").build())


async def outcomes(world: World, saga_id: str, event: DomainEvent) -> list[SagaOutcome]:
    """Return what the journal says of an event."""
    return [
        entry.outcome
        for entry in await world.store.sagas.history(saga_id)
        if entry.action is SagaAction.EVENT and entry.message_id == event.event_id
    ]


async def test_a_repeated_event_is_handled_once(world: World) -> None:
    event = OrderCreated(order_id="o-1")
    for _ in range(3):
        await world.manager.handle(event)
    assert len(await world.store.outbox.get_pending()) == 1
    assert await outcomes(world, (await world.saga()).saga_id, event) == [SagaOutcome.COMPLETED]


async def test_a_second_event_for_a_step_that_was_entered_sends_nothing(world: World) -> None:
    await world.manager.handle(OrderCreated(order_id="o-1"))
    again = OrderCreated(order_id="o-1")
    await world.manager.handle(again)
    await world.run()
    assert (await world.done("o-1")).count("ReserveItems") == 1
    assert await outcomes(world, (await world.saga()).saga_id, again) == [SagaOutcome.SKIPPED]


async def test_an_event_that_comes_before_its_step_waits_for_it(world: World) -> None:
    await world.manager.handle(OrderCreated(order_id="o-1"))
    early = PaymentCharged(order_id="o-1")
    await world.manager.handle(early)
    await world.manager.handle(early)  # its repetition is known, too
    saga = await world.saga()
    assert (saga.status, saga.is_completing) == (SagaStatus.RUNNING, False)
    assert saga.kept_events == ["PaymentCharged"]
    await world.manager.handle(ItemsReserved(order_id="o-1"))
    saga = await world.saga()
    assert list(saga.steps) == ["reserving", "charging", "confirming"]
    assert saga.is_completing
    assert await outcomes(world, saga.saga_id, early) == [
        SagaOutcome.STARTED,
        SagaOutcome.COMPLETED,
    ]


async def test_steps_say_themselves_what_they_come_after(store: Store) -> None:
    saga = (
        SagaBuilder("Joined")
        .correlate_by("order_id")
        .on(OrderCreated, step="begun")
        .on(ItemsReserved, step="reserved", after="begun")
        .on(PaymentCharged, step="charged", after="begun")
        .on(OrderConfirmed, step="confirmed", after=["reserved", "charged"], complete=True)
        .build()
    )
    world = await open_world(store, saga)
    for event_type in (OrderCreated, OrderConfirmed, PaymentCharged):
        await world.manager.handle(event_type(order_id="o-1"))
    assert list((await world.saga("Joined")).steps) == ["begun", "charged"]
    await world.manager.handle(ItemsReserved(order_id="o-1"))
    found = await world.saga("Joined")
    assert list(found.steps) == ["begun", "charged", "reserved", "confirmed"]
    assert found.status is SagaStatus.COMPLETED


async def test_an_event_for_no_saga_begins_none_unless_it_may(world: World) -> None:
    await world.manager.handle(PaymentCharged(order_id="o-1"))
    assert await world.sagas() == []


async def test_whichever_of_several_first_events_comes_first_begins_the_saga(store: Store) -> None:
    saga = (
        SagaBuilder("Either")
        .correlate_by("order_id")
        .on(OrderCreated, step="ordered", starts=True)
        .on(PaymentCharged, step="paid", starts=True)
        .on(
            OrderConfirmed,
            send=lambda e: ConfirmOrder(order_id=e.order_id),
            step="done",
            after=["ordered", "paid"],
            complete=True,
        )
        .build()
    )
    world = await open_world(store, saga)
    for event_type in (PaymentCharged, OrderConfirmed, OrderCreated):
        await world.manager.handle(event_type(order_id="o-1"))
    await world.run()
    assert (await world.saga("Either")).status is SagaStatus.COMPLETED
    assert await world.done("o-1") == ["ConfirmOrder"]


@pytest.mark.parametrize("refused", ["ReserveItems", None])
async def test_a_late_event_changes_nothing(world: World, refused: str | None) -> None:
    if refused is not None:
        world.failures.planned[refused] = [CardDeclinedError("no")]
    await world.manager.handle(OrderCreated(order_id="o-1"))
    await world.run()
    if refused is None:
        for event in (ItemsReserved(order_id="o-1"), PaymentCharged(order_id="o-1")):
            await world.manager.handle(event)
        await world.run()
    before, done = await world.saga(), await world.done("o-1")
    assert before.status.is_final
    late = [PaymentCharged(order_id="o-1"), ItemsReserved(order_id="o-1")]
    for event in late:
        await world.manager.handle(event)
    await world.run()
    after = await world.saga()
    assert (after.status, after.steps) == (before.status, before.steps)
    assert await world.done("o-1") == done
    for event in late:
        assert await outcomes(world, after.saga_id, event) == [SagaOutcome.SKIPPED]


async def test_a_new_event_keeps_the_commands_of_earlier_ones(world: World) -> None:
    for event_type in (OrderCreated, ItemsReserved, PaymentCharged):
        await world.manager.handle(event_type(order_id="o-1"))
    assert len(await world.store.outbox.get_pending()) == 3
    assert [each.name for each in (await world.saga()).commands] == [
        "ReserveItems",
        "ChargePayment",
        "ConfirmOrder",
    ]
    await world.run()
    assert await world.done("o-1") == ["ReserveItems", "ChargePayment", "ConfirmOrder"]


async def test_an_event_that_says_of_no_saga_is_refused_with_the_way_out(world: World) -> None:
    class Anonymous(DomainEvent):
        order_id: str | None = None

    saga = SagaBuilder("Lost").correlate_by("order_id").on(Anonymous, step="begun").build()
    world = await open_world(memory_store(), saga)
    with pytest.raises(SagaCorrelationError, match="correlate_by") as caught:
        await world.manager.handle(Anonymous())
    assert caught.value.saga_type == "Lost"


async def test_an_event_whose_handler_raises_has_not_happened_to_the_saga(store: Store) -> None:
    broken = [True]

    def command(event: OrderCreated) -> ReserveItems:
        if broken:
            raise ValueError(broken.pop())
        return ReserveItems(order_id=event.order_id)

    saga = SagaBuilder("Fragile").on(OrderCreated, send=command, step="s").build()
    world = await open_world(store, saga)
    event = OrderCreated(order_id="o-1", correlation_id="c")
    with pytest.raises(ValueError, match="True"):
        await world.manager.handle(event)
    assert await world.sagas() == []
    await world.manager.handle(event)
    assert len(await store.outbox.get_pending()) == 1


class Numbered(DomainEvent):
    order_id: str
    number: int


def counting() -> SagaBuilder:
    """Return a saga that sends one command for each of twenty numbers, whatever their order."""
    return (
        SagaBuilder("Counting")
        .correlate_by("order_id")
        .on(
            Numbered,
            send=lambda e: ChargePayment(order_id=e.order_id, amount=e.number),
            compensate=lambda e: None,
        )
    )


@pytest.mark.parametrize("lock_strategy", [None, InMemoryLockStrategy()])
async def test_of_twenty_events_at_once_none_is_lost(
    store: Store, lock_strategy: InMemoryLockStrategy | None
) -> None:
    world = await open_world(store, counting().build(), lock_strategy=lock_strategy)
    events = [Numbered(order_id="o-1", number=number) for number in range(20)]
    await asyncio.gather(*[world.manager.handle(event) for event in [*events, *events]])
    await world.run()
    assert await world.done("o-1") == ["ChargePayment"] * 20
    assert len(await world.sagas()) == 1


async def test_events_that_share_a_unit_of_work_see_what_the_earlier_ones_saved(
    store: Store,
) -> None:
    world = await open_world(store, counting().build())
    async with store.uow():
        for number in range(20):
            await world.manager.handle(Numbered(order_id="o-1", number=number))
    assert len(await store.outbox.get_pending()) == 20
    (saga,) = await world.sagas()
    assert len(saga.commands) == 20


async def test_a_saga_begins_if_and_only_if_the_unit_of_work_commits(world: World) -> None:
    async def handle_and_fail() -> None:
        async with world.store.uow():
            await world.manager.handle(OrderCreated(order_id="o-1"))
            raise RuntimeError("undone")

    with pytest.raises(RuntimeError, match="undone"):
        await handle_and_fail()
    assert await world.sagas() == []
    assert await world.store.outbox.get_pending() == []
