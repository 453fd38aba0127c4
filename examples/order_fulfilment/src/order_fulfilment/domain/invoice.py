"""Invoices, as aggregates: orders, and the cancellations that undo a part of them."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Self

from pydantic import Field

from cqrs_ddd_core import AggregateRoot
from order_fulfilment.domain.errors import (
    LineRefusedError,
    NegativePriceError,
    NotSoldError,
    RecordedAlreadyError,
    WrongSignError,
)
from order_fulfilment.domain.events import (
    CancellationMatched,
    CancellationRecorded,
    LinesRecorded,
    OrderExtended,
    OrderPlaced,
)
from order_fulfilment.domain.line import Line


class Invoice(AggregateRoot[str]):
    """What orders and cancellations have in common: lines that make sense.

    The customer is the first one named; many are never known.
    """

    customer_id: int | None = None
    opened_at: datetime
    lines: tuple[Line, ...] = ()

    @classmethod
    def open(cls, number: str, at: datetime) -> Self:
        """Begin an invoice; it has no lines yet."""
        return cls(id=number, opened_at=at)

    def record(self, customer_id: int | None, lines: Iterable[Line]) -> list[LineRefusedError]:
        """Take the lines that make sense, once each, and return why the others do not."""
        known = {line.key for line in self.lines}
        taken: list[Line] = []
        refused: list[LineRefusedError] = []
        for line in lines:
            try:
                self._check(line)
            except LineRefusedError as refusal:
                refused.append(refusal)
            else:
                taken += () if line.key in known else (line,)
        if taken:
            if self.customer_id is None:
                self.customer_id = customer_id
            self.add_event(self._recorded(tuple(taken)))
            self.lines = (*self.lines, *taken)
        return refused

    def _check(self, line: Line) -> None:
        if line.unit_price < 0:
            raise NegativePriceError(line)
        self._check_quantity(line)
        if any(own.file != line.file and own.content == line.content for own in self.lines):
            raise RecordedAlreadyError(line, self.id)

    @abstractmethod
    def _check_quantity(self, line: Line) -> None:
        """Refuse a line that moves goods the wrong way."""

    @abstractmethod
    def _recorded(self, lines: tuple[Line, ...]) -> LinesRecorded:
        """Return the event that tells of these lines."""


class Order(Invoice):
    """Goods sold to a customer, some of which may have come back."""

    returned: dict[str, int] = Field(default_factory=dict)

    def take_back(self, cancellation: "Cancellation") -> None:
        """Note what came back; nothing is noted when any of it cannot have come from here.

        Raises:
            NotSoldError: more comes back than was sold and has not come back yet.
        """
        sold = units_of(self.lines)
        back = {code: -units for code, units in units_of(cancellation.lines).items()}
        for code, units in back.items():
            left = sold.get(code, 0) - self.returned.get(code, 0)
            if units > left:
                raise NotSoldError(self.id, code, left, units)
        self.returned = dict(Counter(self.returned) + Counter(back))

    def _check_quantity(self, line: Line) -> None:
        if line.quantity <= 0:
            raise WrongSignError(line, "an order hands goods out")

    def _recorded(self, lines: tuple[Line, ...]) -> LinesRecorded:
        event_class = OrderExtended if self.lines else OrderPlaced
        return event_class(customer_id=self.customer_id, lines=lines)


class Cancellation(Invoice):
    """Goods that came back, and the order they came from where that is known."""

    order_id: str | None = None

    def refer_to(self, order: Order) -> None:
        """Say which order this one undoes a part of.

        Raises:
            NotSoldError: it cannot be this order.
        """
        order.take_back(self)
        self.order_id = order.id
        self.add_event(CancellationMatched(order_id=order.id))

    def _check_quantity(self, line: Line) -> None:
        if line.quantity >= 0:
            raise WrongSignError(line, "a cancellation takes goods back")

    def _recorded(self, lines: tuple[Line, ...]) -> LinesRecorded:
        return CancellationRecorded(customer_id=self.customer_id, lines=lines)


def units_of(lines: Iterable[Line]) -> dict[str, int]:
    """Return how many units of each product the lines move."""
    units: dict[str, int] = {}
    for line in lines:
        units[line.stock_code] = units.get(line.stock_code, 0) + line.quantity
    return units
