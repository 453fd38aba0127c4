"""What handlers work with, whatever the store: the repositories of one unit of work."""

from cqrs_ddd_core import UnitOfWork, repository
from order_fulfilment.application.read_side import FileImport, Refund, RejectedRow, SalesLine
from order_fulfilment.domain import Cancellation, Order


class ShopRepositories(UnitOfWork):
    """The declarations that the unit of work of every store shares."""

    orders = repository(Order)
    cancellations = repository(Cancellation)
    sales_lines = repository(SalesLine)
    refunds = repository(Refund)
    rejected_rows = repository(RejectedRow)
    imports = repository(FileImport)
