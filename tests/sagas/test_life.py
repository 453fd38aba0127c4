"""The life of an event-driven saga, from its first event to its end."""

import pytest

from cqrs_ddd_advanced_core.sagas import SagaStatus
from tests.sagas.orders import CardDeclined, fulfilment_saga
from tests.sagas.world import Store, World, memory_store, open_world


@pytest.fixture
def store() -> Store:
    return memory_store()


@pytest.fixture
async def world(store: Store) -> World:
    return await open_world(store, fulfilment_saga())


async def test_a_saga_goes_from_its_first_event_to_its_end(world: World) -> None:
    await world.create("o-1")
    await world.run()
    assert await world.done("o-1") == [
        "CreateOrder",
        "ReserveItems",
        "ChargePayment",
        "ConfirmOrder",
    ]
    saga = await world.saga()
    assert saga.status is SagaStatus.COMPLETED
    assert list(saga.steps) == ["reserving", "charging", "confirming"]


async def test_a_refused_command_undoes_what_was_done_in_reverse_order(world: World) -> None:
    world.failures.planned["ConfirmOrder"] = [CardDeclined("no")]
    await world.create("o-1")
    await world.run()
    assert (await world.done("o-1"))[-2:] == ["RefundPayment", "CancelReservation"]
    assert (await world.saga()).status is SagaStatus.COMPENSATED
