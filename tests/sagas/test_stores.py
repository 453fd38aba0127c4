"""The same sagas on every database, with several processes' worth of relays at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from cqrs_ddd_advanced_core.sagas import SagaBuilder, SagaFilter, SagaStatus
from cqrs_ddd_core.cqrs.outbox import BufferedOutbox
from cqrs_ddd_core.testing import until
from tests.sagas.orders import (
    CardDeclinedError,
    Failures,
    ItemsReserved,
    OrderCreated,
    PaymentCharged,
    WithdrawOrder,
    fulfilment,
    fulfilment_saga,
)
from tests.sagas.stores import URLS, sql_store
from tests.sagas.test_events import Numbered, counting
from tests.sagas.world import LONG, SETTINGS, Store, open_world

ALL_DONE = ["CreateOrder", "ReserveItems", "ChargePayment", "ConfirmOrder"]


@pytest.fixture(params=URLS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with sql_store(request.getfixturevalue(request.param)) as store:
        yield store


async def test_sagas_go_forward_and_back(store: Store) -> None:
    world = await open_world(store, fulfilment_saga())
    orders = [f"o-{number}" for number in range(4)]
    await asyncio.gather(*[world.create(order_id) for order_id in orders])
    await world.run()
    for order_id in orders:
        assert await world.done(order_id) == ALL_DONE
    world.failures.planned["ChargePayment"] = [OSError("away"), CardDeclinedError("no")]
    await world.create("back")
    await world.run()
    assert (await world.done("back"))[-2:] == ["RefundPayment", "CancelReservation"]
    statuses = [saga.status for saga in await world.sagas()]
    assert sorted(statuses) == [SagaStatus.COMPENSATED, *[SagaStatus.COMPLETED] * 4]


async def test_a_saga_is_found_again_by_its_type_and_correlation(store: Store) -> None:
    withdrawing = (
        SagaBuilder("Withdrawing")
        .on(OrderCreated, send=lambda e: WithdrawOrder(order_id=e.order_id), complete=True)
        .build()
    )
    world = await open_world(store, fulfilment_saga(), withdrawing)
    for event_type in (OrderCreated, ItemsReserved, PaymentCharged):
        await world.manager.handle(event_type(order_id="o-1", correlation_id="c-1"))
    await world.run()
    found = await world.manager.search(SagaFilter(correlation_id="c-1"))
    assert {(saga.saga_type, saga.key, saga.status) for saga in found} == {
        ("OrderFulfillment", "c-1", SagaStatus.COMPLETED),
        ("Withdrawing", "c-1", SagaStatus.COMPLETED),
    }


async def test_of_many_events_at_once_none_is_lost(store: Store) -> None:
    world = await open_world(store, counting().build())
    events = [Numbered(order_id="o-1", number=number) for number in range(20)]
    await asyncio.gather(*[world.manager.handle(event) for event in [*events, *events[:5]]])
    await world.run()
    assert await world.done("o-1") == ["ChargePayment"] * 20
    assert len(await world.sagas()) == 1


async def test_several_relays_and_workers_do_everything_once(store: Store) -> None:
    failures = Failures()
    failures.once = {("ChargePayment", order_id) for order_id in ("o-0", "o-1", "o-3")}
    failures.refused = {("ConfirmOrder", "o-1"), ("ConfirmOrder", "o-2")}
    worlds = [await open_world(store, fulfilment_saga(), failures=failures) for _ in range(3)]
    orders = [f"o-{number}" for number in range(6)]
    for order_id in orders:
        await worlds[0].create(order_id)

    async def is_over() -> bool:
        await asyncio.gather(*[world.worker.run_once() for world in worlds])
        sagas = await worlds[0].sagas()
        return len(sagas) == len(orders) and all(saga.status.is_final for saga in sagas)

    async with AsyncExitStack() as relays:
        for number, world in enumerate(worlds):
            relay = BufferedOutbox(
                store.outbox, world.publisher, settings=SETTINGS, name=f"relay-{number}"
            )
            await relays.enter_async_context(relay)
        await until(is_over, timeout=LONG)
    for order_id in orders:
        is_refused = ("ConfirmOrder", order_id) in failures.refused
        undone = [*ALL_DONE[:-1], "RefundPayment", "CancelReservation"]
        assert await worlds[0].done(order_id) == (undone if is_refused else ALL_DONE)


async def test_events_that_several_relays_bring_at_once_are_all_handled(store: Store) -> None:
    worlds = [await open_world(store, counting().build()) for _ in range(3)]
    for number in range(20):
        event = Numbered(aggregate_id=str(number), order_id="o-1", number=number)
        await worlds[0].mediator.publish(event)

    async def is_over() -> bool:
        return len(await worlds[0].done("o-1")) == 20

    async with AsyncExitStack() as relays:
        for number, world in enumerate(worlds):
            relay = BufferedOutbox(store.outbox, world.publisher, name=f"relay-{number}")
            await relays.enter_async_context(relay)
        await until(is_over, timeout=LONG)
    assert (await store.outbox.statistics()).dead_letters == 0
    assert await worlds[0].done("o-1") == ["ChargePayment"] * 20


async def test_a_timeout_is_kept_by_the_store(store: Store) -> None:
    saga = (
        SagaBuilder("Slow")
        .correlate_by("order_id")
        .on(OrderCreated, step="waiting", timeout=0.2)
        .on(ItemsReserved, step="reserved")
        .build()
    )
    world = await open_world(store, saga)
    await world.manager.handle(OrderCreated(order_id="o-1"))
    other = await open_world(store, saga)  # another process finds it
    await other.run()
    assert (await other.saga("Slow")).status is SagaStatus.COMPENSATED


async def test_a_saga_is_moved_by_hand(store: Store) -> None:
    world = await open_world(store, fulfilment().correlate_by("order_id").build())
    world.failures.always["ChargePayment"] = CardDeclinedError("no")
    world.failures.always["CancelReservation"] = OSError("away")
    await world.create("o-1")
    await world.run()
    saga = await world.saga()
    assert saga.status is SagaStatus.COMPENSATION_FAILED
    world.failures.always.clear()
    await world.manager.retry_step(saga_id=saga.saga_id, step_name="reserving")
    await world.run()
    assert (await world.saga()).status is SagaStatus.COMPENSATED
