"""What the shop can be asked to do, and how it does it."""

from order_fulfilment.application.application import Application, Stores, build_application
from order_fulfilment.application.event_handlers import Notifications
from order_fulfilment.application.importing import InvoiceFile, Row, import_file
from order_fulfilment.application.queries import (
    GetImport,
    GetSalesReport,
    ImportStatus,
    ListRejects,
    SalesReport,
)
from order_fulfilment.application.records import FileImport, OpenCancellation, Refund, RejectedRow
from order_fulfilment.application.repositories import ShopRepositories
from order_fulfilment.application.sales import SALES, Figures

__all__ = [
    "SALES",
    "Application",
    "Figures",
    "FileImport",
    "GetImport",
    "GetSalesReport",
    "ImportStatus",
    "InvoiceFile",
    "ListRejects",
    "Notifications",
    "OpenCancellation",
    "Refund",
    "RejectedRow",
    "Row",
    "SalesReport",
    "ShopRepositories",
    "Stores",
    "build_application",
    "import_file",
]
