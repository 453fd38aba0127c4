"""How questions are answered: the database adds up, nothing is loaded."""

from decimal import Decimal
from typing import Any, cast

from cqrs_ddd_core import QueryOptions
from order_fulfilment.application.queries import (
    GetImport,
    GetSalesReport,
    ImportStatus,
    ListRejects,
    SalesReport,
    TopProduct,
)
from order_fulfilment.application.read_side import RejectedRow
from order_fulfilment.application.repositories import ShopRepositories
from order_fulfilment.application.specifications import of_file, of_kind
from order_fulfilment.domain import LineKind

_AMOUNT = QueryOptions().with_aggregation("amount", "sum", key="amount")
_UNITS = QueryOptions().with_aggregation("quantity", "sum", key="units")


async def get_import(query: GetImport, uow: ShopRepositories) -> ImportStatus:
    """Answer from the file's own record; a file never seen has none."""
    found = await uow.imports.get(query.file)
    if found is None:
        return ImportStatus()
    return ImportStatus(through=found.through, accepted=found.accepted, rejected=found.rejected)


async def list_rejects(query: ListRejects, uow: ShopRepositories) -> list[RejectedRow]:
    """Answer in the order of the file."""
    options = QueryOptions(of_file(query.file)).with_ordering("number")
    return await (await uow.rejected_rows.search(options))


async def get_sales_report(query: GetSalesReport, uow: ShopRepositories) -> SalesReport:
    """Answer from the read side alone."""
    gross = await _amount(uow, LineKind.SALE)
    refunds = await _amount(uow, LineKind.CANCELLATION)
    top = (
        _AMOUNT.with_grouping("stock_code")
        .with_aggregation("description", "max", key="description")
        .with_ordering("-amount", "stock_code")
        .with_limit(query.top)
    )
    return SalesReport(
        orders=await _invoices(uow, LineKind.SALE),
        cancellations=await _invoices(uow, LineKind.CANCELLATION),
        rows_accepted=await (await uow.sales_lines.search()).total_count(),
        rows_rejected=await (await uow.rejected_rows.search()).total_count(),
        gross_revenue=gross,
        refunds=refunds,
        net_revenue=gross + refunds,
        revenue_by_country=await _by(uow, "country", _AMOUNT, "amount"),
        revenue_by_month=await _by(uow, "month", _AMOUNT, "amount"),
        top_products=[
            TopProduct(
                stock_code=row["stock_code"],
                description=row["description"],
                net_revenue=row["amount"],
            )
            for row in await _rows(uow, top)
        ],
        stock_movements=await _by(uow, "stock_code", _UNITS, "units"),
    )


async def _amount(uow: ShopRepositories, kind: LineKind) -> Decimal:
    result = await uow.sales_lines.search(_AMOUNT.with_specification(of_kind(kind)))
    return (await result.aggregations())["amount"] or Decimal(0)


async def _invoices(uow: ShopRepositories, kind: LineKind) -> int:
    options = QueryOptions(of_kind(kind)).with_grouping("invoice")
    return await (await uow.sales_lines.search(options)).total_count()


async def _by(uow: ShopRepositories, field: str, figure: QueryOptions, key: str) -> dict[str, Any]:
    options = figure.with_grouping(field).with_ordering(field)
    return {row[field]: row[key] for row in await _rows(uow, options)}


async def _rows(uow: ShopRepositories, options: QueryOptions) -> list[dict[str, Any]]:
    """Return groups: with a grouping, a search gives dicts."""
    found: Any = await (await uow.sales_lines.search(options))
    return cast("list[dict[str, Any]]", found)
