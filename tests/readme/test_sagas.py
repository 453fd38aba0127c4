"""A saga with compensation, and its control by hand, as README.md shows them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cqrs_ddd_advanced_core.sagas import (
    SAGA_COMMAND,
    SagaBuilder,
    SagaCommandPublisher,
    SagaManager,
    SagaStatus,
    bootstrap_sagas,
)
from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    DomainError,
    DomainEvent,
    HandlerRegistry,
    InMemoryLockStrategy,
    Mediator,
    MiddlewareRegistry,
    OutboxMiddleware,
    TopicRoutingPublisher,
    repository,
)
from cqrs_ddd_core.cqrs.outbox import DurableHandlerPublisher, OutboxService
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyInboxStorage,
    SQLAlchemyOutboxStorage,
    SQLAlchemySagaRepository,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
)


class OrderCreated(DomainEvent):
    order_id: str
    items: tuple[str, ...]


class ItemsReserved(DomainEvent):
    order_id: str
    total: int
    payment_method_id: str


class PaymentCharged(DomainEvent):
    order_id: str


class PlaceOrder(Command[None]):
    order_id: str


class ReserveItems(Command[None]):
    order_id: str
    items: tuple[str, ...]


class CancelReservation(Command[None]):
    order_id: str


class ChargePayment(Command[None]):
    order_id: str
    amount: int
    payment_method_id: str


class RefundPayment(Command[None]):
    order_id: str
    amount: int


class ConfirmOrder(Command[None]):
    order_id: str


class StockHolder(AggregateRoot[str]):
    """What was done for an order."""

    notes: tuple[str, ...] = ()

    def note(self, what: str, *events: DomainEvent) -> None:
        self.notes = (*self.notes, what)
        for event in events:
            self.add_event(event)


class FulfilmentUnitOfWork(SQLAlchemyUnitOfWork):
    orders = repository(StockHolder, table="stock_holders")


OrderFulfillmentSaga = (
    SagaBuilder("OrderFulfillment")
    # Step 1: Reserve items
    .on(
        OrderCreated,
        send=lambda e: ReserveItems(order_id=e.order_id, items=e.items),
        step="reserving",
        compensate=lambda e: CancelReservation(order_id=e.order_id),
    )
    # Step 2: Charge payment
    .on(
        ItemsReserved,
        send=lambda e: ChargePayment(
            order_id=e.order_id,
            amount=e.total,
            payment_method_id=e.payment_method_id,
        ),
        step="charging",
        compensate=lambda e: RefundPayment(
            order_id=e.order_id,
            amount=e.total,
        ),
    )
    # Step 3: Confirm order (final step)
    .on(
        PaymentCharged,
        send=lambda e: ConfirmOrder(order_id=e.order_id),
        step="confirming",
        complete=True,
    )
    .build()
)
PaymentProcessingSaga = SagaBuilder("PaymentProcessing").on(PaymentCharged, complete=True).build()
ShippingSaga = SagaBuilder("Shipping").on(ItemsReserved, step="packing").build()


class Declined(DomainError):  # noqa: N818 - the bank's word
    """The bank said no."""


class Shop:
    """An application with the sagas of README.md."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.session_factory = session_factory = create_session_factory(engine)
        self.outbox = SQLAlchemyOutboxStorage(session_factory)
        self.inbox = SQLAlchemyInboxStorage(session_factory)
        self.sagas = SQLAlchemySagaRepository(session_factory)
        self.refuses = set[str]()
        self.mediator = Mediator(
            self._handlers(),
            lambda: FulfilmentUnitOfWork(session_factory),
            middleware_registry=MiddlewareRegistry([OutboxMiddleware(self.outbox)]),
        )
        self.manager: SagaManager | None = None

    def _handlers(self) -> HandlerRegistry:
        async def handle(command: Any, uow: FulfilmentUnitOfWork) -> None:
            name = type(command).__name__
            if name in self.refuses:
                raise Declined(name)
            order = await uow.orders.get(command.order_id)
            if order is None:
                order = StockHolder(id=command.order_id)
                await uow.orders.add(order)
            order.note(name, *_events_of(command))

        registry = HandlerRegistry()
        for command_type in (
            PlaceOrder,
            ReserveItems,
            CancelReservation,
            ChargePayment,
            RefundPayment,
            ConfirmOrder,
        ):
            registry.register_command_handler(command_type, handle)
        return registry

    async def deliver(self) -> None:
        assert self.manager is not None
        publisher = TopicRoutingPublisher(
            {SAGA_COMMAND: SagaCommandPublisher(self.manager)},
            default=DurableHandlerPublisher(self.mediator, self.inbox),
        )
        async with OutboxService(self.outbox, publisher) as relay:
            await relay.drain()

    async def notes(self) -> tuple[str, ...]:
        async with FulfilmentUnitOfWork(self.session_factory) as uow:
            return (await uow.orders.require("o-1")).notes


def _events_of(command: object) -> list[DomainEvent]:
    match command:
        case PlaceOrder(order_id=order_id):
            return [OrderCreated(order_id=order_id, items=("book",))]
        case ReserveItems(order_id=order_id):
            return [ItemsReserved(order_id=order_id, total=30, payment_method_id="card-1")]
        case ChargePayment(order_id=order_id):
            return [PaymentCharged(order_id=order_id)]
        case _:
            return []


@pytest.fixture
async def shop(sqlite_url: str) -> AsyncIterator[Shop]:
    engine = create_engine(sqlite_url)
    shop = Shop(engine)
    await create_schema(engine, FulfilmentUnitOfWork, shop.outbox, shop.inbox, shop.sagas)
    yield shop
    await engine.dispose()


@pytest.fixture
async def manager(shop: Shop) -> SagaManager:
    session_factory, mediator, redis_lock = (
        shop.session_factory,
        shop.mediator,
        InMemoryLockStrategy(),
    )
    manager = await bootstrap_sagas(
        sagas=[OrderFulfillmentSaga, PaymentProcessingSaga, ShippingSaga],
        repository=SQLAlchemySagaRepository(session_factory),
        command_bus=mediator,
        lock_strategy=redis_lock,
    )
    shop.manager = manager
    return manager


async def test_a_saga_executes_by_itself_when_its_first_event_is_raised(
    shop: Shop, manager: SagaManager
) -> None:
    await shop.mediator.send(PlaceOrder(order_id="o-1"))
    await shop.deliver()
    assert await shop.notes() == ("PlaceOrder", "ReserveItems", "ChargePayment", "ConfirmOrder")
    statuses = {saga.saga_type: saga.status for saga in await manager.search()}
    assert statuses == {
        "OrderFulfillment": SagaStatus.COMPLETED,
        "PaymentProcessing": SagaStatus.COMPLETED,
        "Shipping": SagaStatus.RUNNING,
    }


async def test_if_a_step_fails_compensating_actions_execute_in_reverse_order(
    shop: Shop, manager: SagaManager
) -> None:
    shop.refuses = {"ConfirmOrder"}
    await shop.mediator.send(PlaceOrder(order_id="o-1"))
    await shop.deliver()
    assert (await shop.notes())[-2:] == ("RefundPayment", "CancelReservation")


async def test_sagas_are_looked_at_and_moved_by_hand(shop: Shop, manager: SagaManager) -> None:
    shop.refuses = {"ConfirmOrder", "RefundPayment"}
    await shop.mediator.send(PlaceOrder(order_id="o-1"))
    await shop.deliver()
    active_sagas = await manager.list_active()
    (saga_id,) = [s.saga_id for s in active_sagas if s.saga_type == "OrderFulfillment"]
    saga_state = await manager.get_saga_state(saga_id=saga_id)
    assert (saga_state.status, saga_state.step) == (SagaStatus.COMPENSATING, "confirming")
    shop.refuses = set()
    await manager.retry_step(saga_id=saga_id, step_name="charging")
    await shop.deliver()
    saga_state = await manager.get_saga_state(saga_id=saga_id)
    assert saga_state.status is SagaStatus.COMPENSATED


async def test_a_running_saga_is_compensated_by_hand(shop: Shop, manager: SagaManager) -> None:
    await shop.mediator.send(PlaceOrder(order_id="o-1"))
    await shop.deliver()
    (shipping,) = [s for s in await manager.list_active() if s.saga_type == "Shipping"]
    await manager.compensate(saga_id=shipping.saga_id)
    assert (await manager.get_saga_state(shipping.saga_id)).status is SagaStatus.COMPENSATED
