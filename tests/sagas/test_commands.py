"""What becomes of a saga's commands: done, tried again, refused, in doubt, taken back."""

import asyncio
import contextvars

import pytest

from cqrs_ddd_advanced_core.sagas import SAGA_COMMAND, SagaAction, SagaBuilder, SagaStatus
from cqrs_ddd_core import OutboxMessage
from tests.sagas.orders import (
    CancelReservation,
    CardDeclinedError,
    ItemsReserved,
    OrderCommand,
    OrderCreated,
    PaymentCharged,
    RefundPayment,
    ReserveItems,
    fulfilment,
    fulfilment_saga,
)
from tests.sagas.world import Store, World, memory_store, open_world


@pytest.fixture
def store() -> Store:
    return memory_store()


@pytest.fixture
async def world(store: Store) -> World:
    return await open_world(store, fulfilment_saga())


async def test_a_command_is_in_the_outbox_as_soon_as_its_saga_is_saved(world: World) -> None:
    for event_type in (OrderCreated, ItemsReserved, PaymentCharged):
        await world.manager.handle(event_type(order_id="o-1", correlation_id="c-1"))
    saga = await world.saga()
    assert saga.is_completing
    waiting: list[OutboxMessage] = await world.store.outbox.get_pending()
    assert [message.event_type for message in waiting] == [SAGA_COMMAND] * 3
    assert {message.correlation_id for message in waiting} == {"c-1"}
    assert [message.message_id for message in waiting] == [
        f"{saga.saga_id}/{number}/1" for number in (1, 3, 5)
    ]


async def test_a_command_that_fails_for_a_moment_is_tried_again_under_its_id(world: World) -> None:
    world.failures.planned["ChargePayment"] = [OSError("away"), OSError("still away")]
    await world.create("o-1")
    await world.run()
    assert (await world.saga()).status is SagaStatus.COMPLETED
    assert world.failures.attempts["ChargePayment"] == 3
    assert len(world.failures.command_ids["ChargePayment"]) == 1
    assert (await world.done("o-1")).count("ChargePayment") == 1


async def test_a_failed_attempt_that_is_delivered_again_does_nothing(store: Store) -> None:
    saga = fulfilment(base_delay=3600.0, max_delay=3600.0).build()
    world = await open_world(store, saga)
    world.failures.planned["ReserveItems"] = [OSError("away")]
    await world.manager.handle(OrderCreated(order_id="o-1", correlation_id="c-1"))
    (message,) = await store.outbox.get_pending()
    await world.deliver()
    before = await world.saga()
    assert before.commands[0].retry_at is not None
    assert await world.publisher.publish([message]) == [None]
    assert await world.saga() == before
    assert await world.done("o-1") == []


async def test_when_the_attempts_are_used_up_everything_that_may_have_happened_is_undone(
    world: World,
) -> None:
    world.failures.always["ChargePayment"] = OSError("away")
    await world.create("o-1")
    await world.run()
    assert world.failures.attempts["ChargePayment"] == 3
    saga = await world.saga()
    assert saga.status is SagaStatus.COMPENSATED
    # Nobody knows whether the payment was charged: it is refunded.
    assert (await world.done("o-1"))[-2:] == ["RefundPayment", "CancelReservation"]


async def test_what_a_rule_refused_is_not_tried_again_and_not_undone(world: World) -> None:
    world.failures.always["ChargePayment"] = CardDeclinedError("no")
    await world.create("o-1")
    await world.run()
    assert world.failures.attempts["ChargePayment"] == 1
    assert await world.done("o-1") == ["CreateOrder", "ReserveItems", "CancelReservation"]
    history = await world.store.sagas.history((await world.saga()).saga_id)
    skipped = [entry.step for entry in history if entry.action is SagaAction.COMPENSATE]
    assert skipped[0] == "charging"


async def test_a_refusal_behind_a_failure_in_doubt_is_undone(world: World) -> None:
    world.failures.planned["ChargePayment"] = [OSError("away"), CardDeclinedError("no")]
    await world.create("o-1")
    await world.run()
    assert (await world.done("o-1"))[-2:] == ["RefundPayment", "CancelReservation"]


async def test_the_point_of_no_return_is_saved_before_the_first_compensation_runs(
    store: Store,
) -> None:
    seen: list[SagaStatus] = []

    async def look(command: OrderCommand) -> None:
        if isinstance(command, CancelReservation | RefundPayment):
            (saga,) = await world.sagas()
            seen.append(saga.status)

    world = await open_world(store, fulfilment_saga(), before_effect=look)
    world.failures.always["ConfirmOrder"] = CardDeclinedError("no")
    await world.create("o-1")
    await world.run()
    assert seen == [SagaStatus.COMPENSATING] * 2


async def test_compensations_are_sent_one_after_another_and_tried_again(world: World) -> None:
    world.failures.always["ConfirmOrder"] = CardDeclinedError("no")
    world.failures.planned["RefundPayment"] = [OSError("away"), CardDeclinedError("not yet")]
    await world.create("o-1")
    await world.run()
    assert world.failures.attempts["RefundPayment"] == 3
    assert (await world.done("o-1"))[-2:] == ["RefundPayment", "CancelReservation"]
    assert (await world.saga()).status is SagaStatus.COMPENSATED


async def test_a_compensation_that_cannot_be_done_waits_for_a_person_with_those_behind_it(
    world: World,
) -> None:
    world.failures.always["ConfirmOrder"] = CardDeclinedError("no")
    world.failures.always["RefundPayment"] = OSError("away")
    await world.create("o-1")
    await world.run()
    saga = await world.saga()
    assert (saga.status, saga.wake_at) == (SagaStatus.COMPENSATION_FAILED, None)
    assert [(each.name, each.has_failed) for each in saga.compensations] == [
        ("RefundPayment", True),
        ("CancelReservation", False),
    ]
    assert "CancelReservation" not in await world.done("o-1")
    del world.failures.always["RefundPayment"]
    await world.manager.retry_step(saga_id=saga.saga_id, step_name="charging")
    await world.run()
    assert (await world.saga()).status is SagaStatus.COMPENSATED
    assert (await world.done("o-1"))[-2:] == ["RefundPayment", "CancelReservation"]


async def test_a_command_that_was_taken_back_never_runs(store: Store) -> None:
    saga = (
        SagaBuilder("Hasty")
        .correlate_by("order_id")
        .on(
            OrderCreated,
            send=lambda e: ReserveItems(order_id=e.order_id),
            step="reserving",
            compensate=lambda e: CancelReservation(order_id=e.order_id),
        )
        .on(PaymentCharged, fail="no")
        .build()
    )
    world = await open_world(store, saga)
    await world.manager.handle(OrderCreated(order_id="o-1"))
    await world.manager.handle(PaymentCharged(order_id="o-1"))
    await world.run()
    # It had left, so that another process might be carrying it out: the reservation is cancelled.
    assert await world.done("o-1") == ["CancelReservation"]
    assert (await world.saga("Hasty")).status is SagaStatus.COMPENSATED


async def test_a_command_that_is_taken_back_while_it_runs_leaves_no_effect(store: Store) -> None:
    async def undo_meanwhile(command: OrderCommand) -> None:
        if isinstance(command, ReserveItems) and not undone:
            undone.append(True)
            (saga,) = await world.sagas()
            await in_another_task(world, saga.saga_id)

    undone: list[bool] = []
    world = await open_world(store, fulfilment_saga(), before_effect=undo_meanwhile)
    await world.create("o-1")
    await world.run()
    assert undone == [True]
    assert await world.done("o-1") == ["CreateOrder", "CancelReservation"]
    assert (await world.saga()).status is SagaStatus.COMPENSATED


async def in_another_task(world: World, saga_id: str) -> None:
    """Have a saga undone by somebody who is in no unit of work."""
    undoing = world.manager.compensate(saga_id)
    await asyncio.create_task(undoing, context=contextvars.Context())


async def test_a_repeated_command_message_does_nothing(world: World) -> None:
    await world.manager.handle(OrderCreated(order_id="o-1", correlation_id="c-1"))
    (message,) = await world.store.outbox.get_pending()
    await world.run()
    assert await world.publisher.publish([message, message]) == [None, None]
    await world.run()
    assert (await world.done("o-1")).count("ReserveItems") == 1


async def test_a_command_that_nobody_handles_here_stays_in_the_outbox(store: Store) -> None:
    class Unheard(OrderCommand):
        pass

    saga = SagaBuilder("Deaf").on(OrderCreated, send=lambda e: Unheard(order_id="o"), step="s")
    world = await open_world(store, saga.build())
    await world.manager.handle(OrderCreated(order_id="o-1", correlation_id="c-1"))
    await world.deliver()
    (message,) = await store.outbox.get_pending()
    (outcome,) = await world.publisher.publish([message])
    assert "Unheard" in str(outcome)
    assert (await world.saga("Deaf")).status is SagaStatus.RUNNING


async def test_a_parked_failure_keeps_events_until_a_person_has_the_saga_go_on(
    store: Store,
) -> None:
    saga = (
        fulfilment("Parking")
        .on(
            OrderCreatedLater,
            send=lambda e: RefundPayment(order_id=e.order_id),
            step="refunding",
            after="reserving",
            parks_failures=True,
        )
        .correlate_by("order_id")
        .build()
    )
    world = await open_world(store, saga)
    world.failures.planned["RefundPayment"] = [CardDeclinedError("no")]
    await world.manager.handle(OrderCreated(order_id="o-1"))
    await world.manager.handle(OrderCreatedLater(order_id="o-1"))
    await world.run()
    found = await world.saga("Parking")
    assert (found.status, found.kept_events) == (SagaStatus.FAILED, ["ItemsReserved"])
    await world.manager.retry_step(saga_id=found.saga_id, step_name="refunding")
    await world.run()
    assert (await world.saga("Parking")).status is SagaStatus.COMPLETED
    assert (await world.done("o-1")).count("RefundPayment") == 1


class OrderCreatedLater(OrderCreated):
    pass
