"""What happened in the shop."""

from datetime import datetime
from typing import ClassVar

from cqrs_ddd_core import DomainEvent
from order_fulfilment.domain.line import Line, LineKind


class LinesRecorded(DomainEvent):
    """An invoice has got lines; handlers of this type see every kind of invoice."""

    kind: ClassVar[LineKind]

    customer_id: int | None
    opened_at: datetime
    lines: tuple[Line, ...]


class OrderPlaced(LinesRecorded):
    """A new order, with its first lines."""

    kind = LineKind.SALE


class OrderExtended(LinesRecorded):
    """An order has got further lines."""

    kind = LineKind.SALE


class CancellationRecorded(LinesRecorded):
    """Goods came back, and money goes back."""

    kind = LineKind.CANCELLATION


class CancellationMatched(DomainEvent):
    """It is known now which order the goods came from."""

    order_id: str
