"""A purchase in the web shop, and the goods it is for."""

from decimal import Decimal
from enum import StrEnum
from typing import Self

from pydantic import Field

from cqrs_ddd_core import AggregateRoot, DomainError, DomainEvent

HEAVIEST_PARCEL = 20


class PaymentMethod(StrEnum):
    """How a customer pays."""

    CARD = "card"
    """Charged at once."""
    TRANSFER = "transfer"
    """By the customer's own doing, some day."""


class PurchaseStatus(StrEnum):
    """Where a purchase stands."""

    PLACED = "placed"
    PAID = "paid"
    SHIPPED = "shipped"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"


class PurchaseEvent(DomainEvent):
    """Something that happened to a purchase; its saga finds itself by the purchase."""

    purchase_id: str


class PurchasePlaced(PurchaseEvent):
    """A customer wants goods."""

    stock_code: str
    quantity: int
    amount: Decimal
    pays_by: PaymentMethod


class StockReserved(PurchaseEvent):
    """The goods are kept for the purchase."""

    amount: Decimal
    pays_by: PaymentMethod


class PurchasePaid(PurchaseEvent):
    """The money is there; the provider may say so more than once."""


class PaymentOverdue(PurchaseEvent):
    """The money did not come in time."""


class PurchaseShipped(PurchaseEvent):
    """The parcel is on its way."""


class PurchaseConfirmed(PurchaseEvent):
    """The customer knows."""


class PurchaseCancelled(PurchaseEvent):
    """Nothing comes of it."""


class OutOfStockError(DomainError):
    """There are not so many of an article."""


class NotShippableError(DomainError):
    """No parcel takes so much."""


class Purchase(AggregateRoot[str]):
    """What a customer wants, from the first click to the parcel."""

    stock_code: str
    quantity: int
    amount: Decimal
    pays_by: PaymentMethod
    status: PurchaseStatus = PurchaseStatus.PLACED

    @classmethod
    def place(
        cls,
        purchase_id: str,
        *,
        stock_code: str,
        quantity: int,
        amount: Decimal,
        pays_by: PaymentMethod,
    ) -> Self:
        """Begin a purchase."""
        purchase = cls(
            id=purchase_id,
            stock_code=stock_code,
            quantity=quantity,
            amount=amount,
            pays_by=pays_by,
        )
        purchase.add_event(
            PurchasePlaced(
                purchase_id=purchase_id,
                stock_code=stock_code,
                quantity=quantity,
                amount=amount,
                pays_by=pays_by,
            )
        )
        return purchase

    def pay(self) -> None:
        """Take note that the money is there; again and again, where the provider says so."""
        if self.status is PurchaseStatus.PLACED:
            self.status = PurchaseStatus.PAID
        if self.status is not PurchaseStatus.CANCELLED:
            self.add_event(PurchasePaid(purchase_id=self.id))

    def ship(self) -> None:
        """Hand the parcel over.

        Raises:
            NotShippableError: it is too heavy.
        """
        if self.quantity > HEAVIEST_PARCEL:
            raise NotShippableError(f"{self.id}: no parcel takes {self.quantity} pieces.")
        self.status = PurchaseStatus.SHIPPED
        self.add_event(PurchaseShipped(purchase_id=self.id))

    def confirm(self) -> None:
        """Tell the customer; the purchase is done."""
        self.status = PurchaseStatus.CONFIRMED
        self.add_event(PurchaseConfirmed(purchase_id=self.id))

    def becomes_overdue(self) -> None:
        """Take note that the time to pay is over; nothing happens if the money is there."""
        if self.status is PurchaseStatus.PLACED:
            self.add_event(PaymentOverdue(purchase_id=self.id))

    def cancel(self) -> None:
        """Give it up."""
        self.status = PurchaseStatus.CANCELLED
        self.add_event(PurchaseCancelled(purchase_id=self.id))


class Article(AggregateRoot[str]):
    """How many of an article there are; its id is the stock code."""

    available: int
    reserved: dict[str, int] = Field(default_factory=dict[str, int])

    def reserve(self, purchase: Purchase) -> None:
        """Keep goods for a purchase, once.

        Raises:
            OutOfStockError: there are not so many.
        """
        if purchase.quantity > self.available:
            raise OutOfStockError(f"{self.id}: {self.available} left, {purchase.quantity} wanted.")
        self.available -= purchase.quantity
        self.reserved[purchase.id] = purchase.quantity
        self.add_event(
            StockReserved(purchase_id=purchase.id, amount=purchase.amount, pays_by=purchase.pays_by)
        )

    def hand_out(self, purchase_id: str) -> None:
        """Let the goods of a purchase go into its parcel."""
        self.reserved.pop(purchase_id)

    def give_back(self, purchase_id: str) -> None:
        """Put the goods of a purchase back, if some were kept for it."""
        self.available += self.reserved.pop(purchase_id, 0)
