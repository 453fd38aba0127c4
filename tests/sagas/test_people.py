"""What people see of sagas, and what they may do with them."""

import pytest

from cqrs_ddd_advanced_core.sagas import (
    IllegalSagaTransitionError,
    SagaAction,
    SagaBuilder,
    SagaFilter,
    SagaNotFoundError,
    SagaOperations,
    SagaStatus,
)
from tests.sagas.orders import (
    CardDeclinedError,
    ChargePayment,
    ItemsReserved,
    OrderCreated,
    PaymentCharged,
    fulfilment,
)
from tests.sagas.world import Store, World, memory_store, open_world


@pytest.fixture
def store() -> Store:
    return memory_store()


@pytest.fixture
async def world(store: Store) -> World:
    return await open_world(store, fulfilment().correlate_by("order_id").build())


async def test_the_state_of_a_saga_says_what_it_waits_for(world: World) -> None:
    await world.manager.handle(OrderCreated(order_id="o-1"))
    await world.manager.handle(PaymentCharged(order_id="o-1"))
    (listed,) = await world.manager.list_active()
    state = await world.manager.get_saga_state(saga_id=listed.saga_id)
    assert state == listed
    assert (state.status, state.step, list(state.steps)) == (
        SagaStatus.RUNNING,
        "reserving",
        ["reserving"],
    )
    (command,) = state.commands
    assert (command.name, command.step, command.attempt) == ("ReserveItems", "reserving", 1)
    assert [each.name for each in state.compensations] == ["CancelReservation"]
    assert state.kept_events == ["PaymentCharged"]


async def test_an_unknown_saga_is_said_to_be_unknown(world: World) -> None:
    with pytest.raises(SagaNotFoundError, match="saga-123"):
        await world.manager.get_saga_state(saga_id="saga-123")
    with pytest.raises(SagaNotFoundError):
        await world.manager.retry_step(saga_id="saga-123", step_name="charging")
    with pytest.raises(SagaNotFoundError):
        await world.manager.find_saga("OrderFulfillment", "o-9")


async def test_active_sagas_are_those_that_have_not_come_to_an_end(world: World) -> None:
    for order_id in ("done", "stuck", "new"):
        await world.create(order_id)
    world.failures.planned["ConfirmOrder"] = [CardDeclinedError("no")]
    world.failures.always["RefundPayment"] = OSError("away")
    await world.run()
    await world.manager.handle(OrderCreated(order_id="newest"))
    assert [saga.key for saga in await world.manager.list_active()] == ["newest"]
    (stuck,) = await world.manager.search(SagaFilter(statuses=[SagaStatus.COMPENSATION_FAILED]))
    assert stuck.error is not None
    assert len(await world.manager.search(limit=3)) == 3
    latest, *others = await world.manager.search()
    assert await world.manager.search(after=latest.saga_id) == others


async def test_a_person_has_a_running_saga_undone(world: World) -> None:
    await world.create("o-1")
    await world.deliver_until("ItemsReserved")
    saga = await world.saga()
    state = await world.manager.compensate(saga_id=saga.saga_id, reason="fraud")
    assert (state.status, state.error) == (SagaStatus.COMPENSATING, "fraud")
    await world.run()
    assert (await world.saga()).status is SagaStatus.COMPENSATED
    assert (await world.done("o-1"))[-1] == "CancelReservation"
    history = await world.store.sagas.history(saga.saga_id)
    assert [entry.error for entry in history if entry.action is SagaAction.OPERATOR] == ["fraud"]
    with pytest.raises(IllegalSagaTransitionError, match="compensated"):
        await world.manager.compensate(saga_id=saga.saga_id)


async def test_a_saga_that_goes_back_is_never_led_forward_by_hand(world: World) -> None:
    world.failures.always["ChargePayment"] = CardDeclinedError("no")
    world.failures.always["CancelReservation"] = OSError("away")
    await world.create("o-1")
    await world.run()
    saga = await world.saga()
    assert saga.status is SagaStatus.COMPENSATION_FAILED
    with pytest.raises(IllegalSagaTransitionError, match="charging"):
        await world.manager.retry_step(saga_id=saga.saga_id, step_name="charging")
    assert (await world.saga()).status is SagaStatus.COMPENSATION_FAILED


async def test_a_step_that_waits_for_its_next_attempt_is_tried_now(store: Store) -> None:
    saga = fulfilment(base_delay=3600.0, max_delay=3600.0).correlate_by("order_id").build()
    world = await open_world(store, saga)
    world.failures.planned["ReserveItems"] = [OSError("away")]
    await world.create("o-1")
    await world.deliver()
    await world.deliver()
    found = await world.saga()
    assert found.commands[0].retry_at is not None
    await world.manager.retry_step(saga_id=found.saga_id, step_name="reserving")
    await world.deliver()
    assert "ReserveItems" in await world.done("o-1")


async def test_a_person_resumes_a_suspended_saga(store: Store) -> None:
    saga = (
        SagaBuilder("Waiting")
        .correlate_by("order_id")
        .on(OrderCreated, step="checking", suspend="a person looks at it")
        .on(ItemsReserved, send=lambda e: ChargePayment(order_id=e.order_id), complete=True)
        .build()
    )
    world = await open_world(store, saga)
    await world.manager.handle(OrderCreated(order_id="o-1"))
    await world.manager.handle(ItemsReserved(order_id="o-1"))
    saga_id = (await world.saga("Waiting")).saga_id
    await world.manager.resume_saga(saga_id)
    await world.run()
    assert (await world.saga("Waiting")).status is SagaStatus.COMPLETED
    with pytest.raises(IllegalSagaTransitionError, match="resume"):
        await world.manager.resume_saga(saga_id)


class TestOperationsOnTheStoreAlone:
    """As the command line has them: a worker elsewhere carries them out."""

    async def test_have_a_saga_undone(self, world: World) -> None:
        await world.manager.handle(OrderCreated(order_id="o-1"))
        operations = SagaOperations(world.store.sagas)
        await operations.compensate((await world.saga()).saga_id, "fraud")
        assert await world.deliver() == 1  # the command that had left is taken back
        assert await world.done("o-1") == []
        await world.run()
        assert (await world.saga()).status is SagaStatus.COMPENSATED
        assert await world.done("o-1") == ["CancelReservation"]

    async def test_have_a_compensation_tried_again(self, world: World) -> None:
        world.failures.always["ChargePayment"] = CardDeclinedError("no")
        world.failures.planned["CancelReservation"] = [OSError("away")] * 3
        await world.create("o-1")
        await world.run()
        saga = await world.saga()
        assert saga.status is SagaStatus.COMPENSATION_FAILED
        await SagaOperations(world.store.sagas).retry(saga.saga_id)
        await world.run()
        assert (await world.saga()).status is SagaStatus.COMPENSATED

    async def test_have_an_attempt_made_now(self, store: Store) -> None:
        saga = fulfilment(base_delay=3600.0, max_delay=3600.0).correlate_by("order_id").build()
        world = await open_world(store, saga)
        world.failures.planned["ReserveItems"] = [OSError("away")]
        await world.create("o-1")
        await world.deliver()
        await world.deliver()
        await SagaOperations(store.sagas).retry((await world.saga()).saga_id)
        await world.run()
        assert (await world.saga()).status is SagaStatus.COMPLETED

    async def test_resume_a_suspended_saga_with_the_events_it_kept(self, store: Store) -> None:
        saga = (
            SagaBuilder("Waiting")
            .correlate_by("order_id")
            .on(OrderCreated, suspend=True, suspend_timeout=3600)
            .on(ItemsReserved, send=lambda e: ChargePayment(order_id=e.order_id), complete=True)
            .build()
        )
        world = await open_world(store, saga)
        await world.manager.handle(OrderCreated(order_id="o-1"))
        await world.manager.handle(ItemsReserved(order_id="o-1"))
        await SagaOperations(store.sagas).resume((await world.saga("Waiting")).saga_id)
        await world.run()
        assert (await world.saga("Waiting")).status is SagaStatus.COMPLETED
        assert await world.done("o-1") == ["ChargePayment"]
