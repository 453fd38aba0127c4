"""Orders whose items are reserved, paid and confirmed; each effect is written down where it is."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from pydantic import Field

from cqrs_ddd_advanced_core.sagas import SagaBuilder, SagaDefinition
from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    DomainError,
    DomainEvent,
    HandlerRegistry,
    Repository,
)


class Ledger(AggregateRoot[str]):
    """What has been done for an order, in order: an effect that happens twice is here twice."""

    done: list[str] = Field(default_factory=list[str])


class LedgerUnitOfWork(Protocol):
    ledgers: Repository[Ledger, str]


class OrderCreated(DomainEvent):
    order_id: str
    total: int = 10


class ItemsReserved(DomainEvent):
    order_id: str
    total: int = 10


class PaymentCharged(DomainEvent):
    order_id: str


class OrderConfirmed(DomainEvent):
    order_id: str


class OrderCommand(Command[None]):
    order_id: str


class CreateOrder(OrderCommand):
    pass


class ReserveItems(OrderCommand):
    pass


class CancelReservation(OrderCommand):
    pass


class ChargePayment(OrderCommand):
    amount: int = 10


class RefundPayment(OrderCommand):
    amount: int = 10


class ConfirmOrder(OrderCommand):
    pass


class WithdrawOrder(OrderCommand):
    pass


class CardDeclinedError(DomainError):
    """The bank said no."""


RAISES: dict[type[OrderCommand], Callable[[str], DomainEvent] | None] = {
    CreateOrder: lambda order_id: OrderCreated(order_id=order_id),
    ReserveItems: lambda order_id: ItemsReserved(order_id=order_id),
    CancelReservation: None,
    ChargePayment: lambda order_id: PaymentCharged(order_id=order_id),
    RefundPayment: None,
    ConfirmOrder: lambda order_id: OrderConfirmed(order_id=order_id),
    WithdrawOrder: None,
}


class Failures:
    """What goes wrong with the next commands, by their names.

    Attributes:
        planned: raised one after another.
        always: raised each time.
        refused: names of commands with the orders for which they are refused each time.
        once: names of commands with the orders for which they fail the first time.
        attempts: how often a command was tried, by name.
        command_ids: under which ids, by name.
    """

    def __init__(self) -> None:
        self.planned: dict[str, list[Exception]] = defaultdict(list)
        self.always: dict[str, Exception] = {}
        self.refused: set[tuple[str, str]] = set()
        self.once: set[tuple[str, str]] = set()
        self.attempts: dict[str, int] = defaultdict(int)
        self.command_ids: dict[str, set[str]] = defaultdict(set)

    def tried(self, command: OrderCommand) -> None:
        name = type(command).__name__
        self.attempts[name] += 1
        self.command_ids[name].add(command.command_id)

    def due(self, command: OrderCommand) -> Exception | None:
        name = type(command).__name__
        planned = self.planned[name]
        if (name, command.order_id) in self.refused:
            return CardDeclinedError("no")
        if (name, command.order_id) in self.once:
            self.once.remove((name, command.order_id))
            return OSError("away")
        return planned.pop(0) if planned else self.always.get(name)


def orders_registry(
    failures: Failures, before_effect: Callable[[OrderCommand], Awaitable[None]] | None = None
) -> HandlerRegistry:
    """Return handlers that note each command in its order's ledger and raise its event."""

    async def handle(command: Any, uow: Any) -> None:
        failures.tried(command)
        if before_effect is not None:
            await before_effect(command)
        ledger = await uow.ledgers.get(command.order_id)
        if ledger is None:
            ledger = Ledger(id=command.order_id)
            await uow.ledgers.add(ledger)
        ledger.done = [*ledger.done, type(command).__name__]
        if (error := failures.due(command)) is not None:
            raise error
        raises = RAISES[type(command)]
        if raises is not None:
            ledger.add_event(raises(command.order_id))

    registry = HandlerRegistry()
    for command_type in RAISES:
        registry.register_command_handler(command_type, handle)
    return registry


def fulfilment(name: str = "OrderFulfillment", **retries: Any) -> SagaBuilder:
    """Return the saga of the published README, to be built."""
    settings: dict[str, Any] = {"max_retries": 2, "base_delay": 0.01, "max_delay": 0.02, **retries}
    return (
        SagaBuilder(name)
        .with_max_retries(**settings)
        .on(
            OrderCreated,
            send=lambda e: ReserveItems(order_id=e.order_id),
            step="reserving",
            compensate=lambda e: CancelReservation(order_id=e.order_id),
        )
        .on(
            ItemsReserved,
            send=lambda e: ChargePayment(order_id=e.order_id, amount=e.total),
            step="charging",
            compensate=lambda e: RefundPayment(order_id=e.order_id, amount=e.total),
        )
        .on(
            PaymentCharged,
            send=lambda e: ConfirmOrder(order_id=e.order_id),
            step="confirming",
            complete=True,
        )
    )


def fulfilment_saga() -> SagaDefinition:
    return fulfilment().build()
