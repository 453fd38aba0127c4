"""The rules of the shop; they know of no database, file or screen."""

from order_fulfilment.domain.errors import LineRefusedError, NotSoldError
from order_fulfilment.domain.events import (
    CancellationMatched,
    CancellationRecorded,
    LinesRecorded,
    OrderExtended,
    OrderPlaced,
)
from order_fulfilment.domain.invoice import Cancellation, Invoice, Order
from order_fulfilment.domain.line import Line, LineKind
from order_fulfilment.domain.matching import match

__all__ = [
    "Cancellation",
    "CancellationMatched",
    "CancellationRecorded",
    "Invoice",
    "Line",
    "LineKind",
    "LineRefusedError",
    "LinesRecorded",
    "NotSoldError",
    "Order",
    "OrderExtended",
    "OrderPlaced",
    "match",
]
