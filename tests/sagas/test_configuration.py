"""Sagas that cannot work are refused when they are built or connected, with all that is wrong."""

from dataclasses import dataclass

import pytest

from cqrs_ddd_advanced_core.sagas import (
    Saga,
    SagaBuilder,
    SagaConfigurationError,
    SagaManager,
    bootstrap_sagas,
    on_event,
)
from cqrs_ddd_core import DomainEvent, HandlerRegistry, InMemoryUnitOfWork, Mediator
from tests.sagas.orders import (
    ItemsReserved,
    OrderCreated,
    PaymentCharged,
    ReserveItems,
    fulfilment_saga,
)
from tests.sagas.world import memory_store, open_world


def test_all_mistakes_of_a_builder_are_told_at_once() -> None:
    class Other(DomainEvent):
        event_type = "OrderCreated"

    @dataclass
    class Unmade:
        order_id: str

    builder = (
        SagaBuilder("Wrong")
        .with_state_class(Unmade)
        .on(OrderCreated, send=lambda e: e, send_all=lambda e: [e], complete=True, fail="no")
        .on(OrderCreated, suspend_timeout=5)
        .on(Other, timeout=-1)
        .on(ItemsReserved, step="a", after="b")
        .on(PaymentCharged, step="b", after=["a", "nowhere"])
    )
    with pytest.raises(SagaConfigurationError) as caught:
        builder.build()
    told = " ".join(caught.value.problems)
    for part in (
        "complete and fail",
        "send and send_all",
        "declared twice",
        "suspend_timeout without suspend",
        "stored as 'OrderCreated'",
        "timeout but no step",
        "above zero",
        "'nowhere'",
        "Step 'a' is never reached",
        "Unmade cannot be made without arguments",
    ):
        assert part in told, part


def test_a_saga_without_name_or_events_is_refused() -> None:
    with pytest.raises(SagaConfigurationError) as caught:
        SagaBuilder("").with_max_retries(-1).build()
    assert len(caught.value.problems) == 3


def test_the_definition_can_be_looked_at() -> None:
    definition = fulfilment_saga()
    assert definition.steps == ("reserving", "charging", "confirming")
    assert definition.event_types == (OrderCreated, ItemsReserved, PaymentCharged)
    first, second, third = definition.reactions
    assert (first.starts, first.after) == (True, ())
    assert (second.starts, second.after) == (False, ("reserving",))
    assert (third.after, third.complete) == (("charging",), True)


def test_a_class_inherits_the_reactions_of_its_base() -> None:
    class Base(Saga[None]):
        @on_event(OrderCreated, step="begun")
        def begin(self, event: OrderCreated) -> None:
            self.dispatch(ReserveItems(order_id=event.order_id))

    class Derived(Base):
        saga_type = "derived"

        @on_event(ItemsReserved, step="reserved")
        def reserved(self, event: ItemsReserved) -> None: ...

    assert Derived.definition().steps == ("begun", "reserved")
    assert (Base.definition().name, Derived.definition().name) == ("Base", "derived")


async def test_a_bus_without_an_outbox_is_refused_with_the_way_out() -> None:
    mediator = Mediator(HandlerRegistry(), InMemoryUnitOfWork)
    with pytest.raises(SagaConfigurationError, match="OutboxMiddleware"):
        await bootstrap_sagas(
            sagas=[fulfilment_saga()], repository=memory_store().sagas, command_bus=mediator
        )


async def test_two_sagas_of_one_name_are_refused() -> None:
    with pytest.raises(SagaConfigurationError, match="Two sagas are called"):
        await open_world(memory_store(), fulfilment_saga(), fulfilment_saga())


async def test_a_saga_of_another_manager_is_not_touched() -> None:
    store = memory_store()
    world = await open_world(store, fulfilment_saga())
    await world.manager.handle(OrderCreated(order_id="o-1", correlation_id="c-1"))
    saga_id = (await world.saga()).saga_id
    other = SagaBuilder("Other").on(OrderCreated, step="begun").build()
    manager = SagaManager([other], store.sagas, world.mediator, store.outbox)
    assert await manager.search() == []
    with pytest.raises(SagaConfigurationError, match="does not run"):
        await manager.compensate(saga_id)
