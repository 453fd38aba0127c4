"""Value objects of an invoice."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from cqrs_ddd_core import ValueObject


class LineKind(StrEnum):
    """Which way goods and money go."""

    SALE = "sale"
    CANCELLATION = "cancellation"


class Line(ValueObject):
    """One line of an invoice, known by the file and the line number it stands at.

    Its content is no identity: a customer may well buy the same thing twice on one invoice.
    """

    file: str
    number: int
    stock_code: str
    description: str
    quantity: int
    unit_price: Decimal
    at: datetime
    country: str

    @property
    def key(self) -> str:
        """What tells this line from all others."""
        return f"{self.file}:{self.number}"

    @property
    def content(self) -> tuple[object, ...]:
        """What is equal when two files hold the same line."""
        return self.stock_code, self.quantity, self.unit_price, self.at, self.country

    @property
    def amount(self) -> Decimal:
        """What it is worth; negative when goods come back."""
        return self.quantity * self.unit_price
