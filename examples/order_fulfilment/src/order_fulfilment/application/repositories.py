"""What handlers work with, whatever the store: the repositories of one unit of work."""

from cqrs_ddd_core import repository
from order_fulfilment.application.records import FileImport, OpenCancellation, Refund, RejectedRow
from order_fulfilment.domain import Cancellation, Order
from order_fulfilment.web_shop import WebShopRepositories


class ShopRepositories(WebShopRepositories):
    """The declarations that the unit of work of every store shares."""

    orders = repository(Order)
    cancellations = repository(Cancellation)
    open_cancellations = repository(OpenCancellation)
    refunds = repository(Refund)
    rejected_rows = repository(RejectedRow)
    imports = repository(FileImport)
