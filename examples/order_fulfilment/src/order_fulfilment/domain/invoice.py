"""Invoices, as aggregates: orders, and the cancellations that undo a part of them."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Self

from pydantic import Field

from cqrs_ddd_advanced_core import EventSourcedAggregate
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


class Invoice(EventSourcedAggregate[str]):
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

    def enter(self, customer_id: int | None, lines: Iterable[Line]) -> list[LineRefusedError]:
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
            customer = customer_id if self.customer_id is None else self.customer_id
            told = self._event_type()
            self.record(told(customer_id=customer, opened_at=self.opened_at, lines=tuple(taken)))
        return refused

    def apply_lines_recorded(self, event: LinesRecorded) -> None:
        """Take lines in, now or in a replay."""
        self.customer_id, self.opened_at = event.customer_id, event.opened_at
        self.lines = (*self.lines, *event.lines)

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
    def _event_type(self) -> type[LinesRecorded]:
        """Return the event that tells of further lines."""


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

    def _event_type(self) -> type[LinesRecorded]:
        return OrderExtended if self.lines else OrderPlaced


class Cancellation(Invoice):
    """Goods that came back, and the order they came from where that is known.

    All of its state follows from its events, so it can be kept as a row or as its events.
    """

    order_id: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether its order is to be found: that of a customer who is known."""
        return bool(self.lines) and self.customer_id is not None and self.order_id is None

    def refer_to(self, order: Order) -> None:
        """Say which order this one undoes a part of.

        Raises:
            NotSoldError: it cannot be this order.
        """
        order.take_back(self)
        self.record(CancellationMatched(order_id=order.id))

    def apply_cancellation_matched(self, event: CancellationMatched) -> None:
        """Refer to the order, now or in a replay."""
        self.order_id = event.order_id

    def _check_quantity(self, line: Line) -> None:
        if line.quantity >= 0:
            raise WrongSignError(line, "a cancellation takes goods back")

    def _event_type(self) -> type[LinesRecorded]:
        return CancellationRecorded


def units_of(lines: Iterable[Line]) -> dict[str, int]:
    """Return how many units of each product the lines move."""
    units: dict[str, int] = {}
    for line in lines:
        units[line.stock_code] = units.get(line.stock_code, 0) + line.quantity
    return units
