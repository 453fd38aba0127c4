"""What the shop can be asked to do, and how it does it."""

from order_fulfilment.application.application import Application, build_application
from order_fulfilment.application.event_handlers import Notifications
from order_fulfilment.application.importing import InvoiceFile, Row, import_file
from order_fulfilment.application.queries import (
    GetImport,
    GetSalesReport,
    ImportStatus,
    ListRejects,
    SalesReport,
)
from order_fulfilment.application.read_side import FileImport, Refund, RejectedRow, SalesLine
from order_fulfilment.application.repositories import ShopRepositories

__all__ = [
    "Application",
    "FileImport",
    "GetImport",
    "GetSalesReport",
    "ImportStatus",
    "InvoiceFile",
    "ListRejects",
    "Notifications",
    "Refund",
    "RejectedRow",
    "Row",
    "SalesLine",
    "SalesReport",
    "ShopRepositories",
    "build_application",
    "import_file",
]
