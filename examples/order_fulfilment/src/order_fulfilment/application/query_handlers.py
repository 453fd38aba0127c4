"""How questions are answered; the report's figures have been worked out before."""

from cqrs_ddd_core import QueryHandler, QueryOptions, QueryResponse
from order_fulfilment.application.queries import (
    GetImport,
    GetSalesReport,
    ImportStatus,
    ListRejects,
    SalesReport,
    TopProduct,
)
from order_fulfilment.application.records import RejectedRow
from order_fulfilment.application.repositories import ShopRepositories
from order_fulfilment.application.sales import (
    COUNTRY,
    MONTH,
    PRODUCT,
    REJECTED,
    Figures,
    ReadSales,
)
from order_fulfilment.application.specifications import of_file
from order_fulfilment.domain import LineKind


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


class SalesReportHandler(QueryHandler[SalesReport]):
    """Answers from the projection alone."""

    def __init__(self, read_sales: ReadSales) -> None:
        self._read_sales = read_sales

    async def handle(self, query: GetSalesReport, /) -> QueryResponse[SalesReport]:
        """Put the figures together."""
        figures = await self._read_sales()
        sales, returns, rejected = (
            figures.get((kind, ""), Figures())
            for kind in (LineKind.SALE, LineKind.CANCELLATION, REJECTED)
        )
        countries, months, products = (
            {name: row for (of, name), row in sorted(figures.items()) if of == kind}
            for kind in (COUNTRY, MONTH, PRODUCT)
        )
        top = sorted(products.items(), key=lambda item: (-item[1].amount, item[0]))[: query.top]
        return QueryResponse(
            SalesReport(
                orders=sales.invoices,
                cancellations=returns.invoices,
                rows_accepted=sales.lines + returns.lines,
                rows_rejected=rejected.lines,
                gross_revenue=sales.amount,
                refunds=returns.amount,
                net_revenue=sales.amount + returns.amount,
                revenue_by_country={name: row.amount for name, row in countries.items()},
                revenue_by_month={name: row.amount for name, row in months.items()},
                top_products=[
                    TopProduct(stock_code=code, description=row.description, net_revenue=row.amount)
                    for code, row in top
                ],
                stock_movements={code: row.units for code, row in products.items()},
            )
        )
