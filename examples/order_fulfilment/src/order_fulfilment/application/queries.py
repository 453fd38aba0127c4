"""What the shop can be asked."""

from collections.abc import Mapping
from decimal import Decimal

from cqrs_ddd_core import Query, ValueObject
from order_fulfilment.application.records import RejectedRow


class ImportStatus(ValueObject):
    """How far a file has been taken in: the line, and the rows on either side."""

    through: int = 0
    accepted: int = 0
    rejected: int = 0


class GetImport(Query[ImportStatus]):
    """How far has this file been taken in?"""

    file: str


class ListRejects(Query[list[RejectedRow]]):
    """Which rows of this file made no sense? In the order of the file."""

    file: str


class TopProduct(ValueObject):
    """A product and what it brought in, cancellations taken off."""

    stock_code: str
    description: str
    net_revenue: Decimal


class SalesReport(ValueObject):
    """The figures of the shop; see the README for what each of them means."""

    orders: int
    cancellations: int
    rows_accepted: int
    rows_rejected: int
    gross_revenue: Decimal
    refunds: Decimal
    net_revenue: Decimal
    revenue_by_country: Mapping[str, Decimal]
    revenue_by_month: Mapping[str, Decimal]
    top_products: list[TopProduct]
    stock_movements: Mapping[str, int]


class GetSalesReport(Query[SalesReport]):
    """How is business?"""

    top: int = 10
