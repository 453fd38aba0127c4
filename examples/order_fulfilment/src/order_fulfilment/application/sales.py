"""The figures of the report, as a projection of the events."""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

from cqrs_ddd_projections import ProjectionContext, ProjectionHandler, on
from order_fulfilment.application.records import RowsTakenIn
from order_fulfilment.domain import (
    CancellationRecorded,
    LineKind,
    LinesRecorded,
    OrderExtended,
    OrderPlaced,
)

SALES = "sales"
COUNTRY, MONTH, PRODUCT, REJECTED = "country", "month", "product", "rejected"


class Figures(NamedTuple):
    """What has been added up for a country, a month and so on: a row of ``SALES``."""

    invoices: int = 0
    lines: int = 0
    units: int = 0
    amount: Decimal = Decimal(0)
    description: str = ""


ReadSales = Callable[[], Awaitable[Mapping[tuple[str, str], Figures]]]
"""Returns all rows by their keys, as of one moment."""


class SalesProjection(ProjectionHandler):
    """Adds up lines: by kind of invoice, country, month and product, each a row of one table."""

    name = SALES

    @on(OrderPlaced, OrderExtended, CancellationRecorded)
    async def recorded(self, event: LinesRecorded, at: ProjectionContext) -> None:
        """Count the lines; the first event of a stream also makes an invoice."""
        if at.stored.version == 1:
            await at.write.add(SALES, (event.kind, ""), {"invoices": 1})
        for line in event.lines:
            added = {"lines": 1, "units": line.quantity, "amount": line.amount}
            product = (PRODUCT, line.stock_code)
            places = ((COUNTRY, line.country), (MONTH, f"{line.at:%Y-%m}"), product)
            for key in ((event.kind, ""), *places):
                await at.write.add(SALES, key, added)
            if event.kind is LineKind.SALE and line.description:
                await at.write.put(SALES, product, {"description": line.description})

    @on(RowsTakenIn)
    async def taken_in(self, event: RowsTakenIn, at: ProjectionContext) -> None:
        """Count the rows that made no sense."""
        await at.write.add(SALES, (REJECTED, ""), {"lines": event.rejected})
