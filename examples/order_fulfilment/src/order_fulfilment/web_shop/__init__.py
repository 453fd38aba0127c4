"""The web shop: purchases that are reserved, paid, shipped and confirmed by a saga."""

from order_fulfilment.web_shop.commands import (
    PlacePurchase,
    RecordPayment,
    SendDailyReport,
    StockUp,
)
from order_fulfilment.web_shop.payments import (
    CardRefusedError,
    IPaymentProvider,
    SimulatedProvider,
)
from order_fulfilment.web_shop.purchase import (
    Article,
    PaymentMethod,
    Purchase,
    PurchaseEvent,
    PurchaseStatus,
)
from order_fulfilment.web_shop.report import DailyReport
from order_fulfilment.web_shop.repositories import WebShopRepositories
from order_fulfilment.web_shop.saga import FULFILMENT, TIME_TO_PAY
from order_fulfilment.web_shop.trading import trade
from order_fulfilment.web_shop.wiring import register_web_shop

__all__ = [
    "FULFILMENT",
    "TIME_TO_PAY",
    "Article",
    "CardRefusedError",
    "DailyReport",
    "IPaymentProvider",
    "PaymentMethod",
    "PlacePurchase",
    "Purchase",
    "PurchaseEvent",
    "PurchaseStatus",
    "RecordPayment",
    "SendDailyReport",
    "SimulatedProvider",
    "StockUp",
    "WebShopRepositories",
    "register_web_shop",
    "trade",
]
