"""The aggregate that the suites store: one field for every kind of value that must survive."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

from pydantic import Field

from cqrs_ddd_core.domain.aggregate import AggregateRoot
from cqrs_ddd_core.domain.event import DomainEvent
from cqrs_ddd_core.domain.value_object import ValueObject
from cqrs_ddd_core.ports.repository import IRepository
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork

PLACED_AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
REFERENCE = UUID("6f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0")


class OrderStatus(Enum):
    """Where an order stands."""

    OPEN = "open"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"


class Money(ValueObject):
    """An amount in a currency."""

    amount: Decimal
    currency: str = "EUR"


class OrderLine(ValueObject):
    """What was ordered, with values nested two deep."""

    sku: str
    quantity: int
    price: Money
    added_at: datetime = PLACED_AT


class Address(ValueObject):
    """Where an order goes."""

    city: str
    street: str | None = None


class OrderRenamed(DomainEvent):
    """The customer of an order changed."""

    customer: str


class Order(AggregateRoot[str]):
    """An order with a field of every kind."""

    customer: str = "c-1"
    status: OrderStatus = OrderStatus.OPEN
    total: Decimal = Decimal(0)
    discount: Decimal | None = None
    quantity: int = 0
    weight: float = 0.0
    paid: bool = False
    placed_at: datetime = PLACED_AT
    shipped_at: datetime | None = None
    due_on: date = date(2026, 4, 1)
    reference: UUID = REFERENCE
    country: str | None = None
    ship_to: Address | None = None
    lines: list[OrderLine] = Field(default_factory=list[OrderLine])
    attributes: dict[str, Any] = Field(default_factory=dict[str, Any])

    def rename(self, customer: str) -> None:
        """Give the order to another customer."""
        self.customer = customer
        self.add_event(OrderRenamed(customer=customer))


class SampleUnitOfWork(IUnitOfWork, Protocol):
    """The unit of work under test: yours, with ``orders = repository(Order)`` in its body."""

    @property
    def orders(self) -> IRepository[Order, str]:
        """The sample aggregates."""
        ...


UowFactory = Callable[[], SampleUnitOfWork]


def full_order(order_id: str = "o-full") -> Order:
    """Return an order with something in every field."""
    return Order(
        id=order_id,
        customer="Zoë Ångström 😀",
        status=OrderStatus.SHIPPED,
        total=Decimal("1234567890123456.789012"),
        discount=Decimal("-0.01"),
        quantity=2**62,
        weight=0.1 + 0.2,
        paid=True,
        placed_at=datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=2))),
        shipped_at=datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        due_on=date(2028, 2, 29),
        reference=UUID("ffffffff-ffff-4fff-bfff-fffffffffffe"),
        country="LV",
        ship_to=Address(city="Rīga", street="Brīvības 1"),
        lines=[
            OrderLine(sku="a", quantity=1, price=Money(amount=Decimal("0.10"))),
            OrderLine(
                sku="b",
                quantity=-3,
                price=Money(amount=Decimal("12345678901234567890.123456789"), currency="USD"),
                added_at=PLACED_AT + timedelta(microseconds=1),
            ),
        ],
        attributes={
            "text": 'quotes " and \\ and \n lines',
            "number": 1,
            "float": 0.1,
            "yes": True,
            "nothing": None,
            "list": [1, "two", None, {"deep": []}],
            "": "an empty key",
            "ключ": {"a.b": "dots"},
        },
    )
