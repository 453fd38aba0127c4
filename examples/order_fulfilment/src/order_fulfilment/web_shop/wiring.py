"""Puts the web shop into the application."""

from datetime import timedelta

from cqrs_ddd_advanced_core.scheduling import CommandScheduler
from cqrs_ddd_core import HandlerRegistry
from order_fulfilment.web_shop.commands import (
    AwaitTransfer,
    CancelPurchase,
    ChargeCard,
    ConfirmPurchase,
    GiveUpUnpaid,
    PlacePurchase,
    RecordPayment,
    RefundPurchase,
    ReserveStock,
    SendDailyReport,
    ShipPurchase,
    StockUp,
)
from order_fulfilment.web_shop.handlers import (
    Payments,
    cancel_purchase,
    confirm_purchase,
    give_up_unpaid,
    place_purchase,
    reserve_stock,
    send_daily_report,
    ship_purchase,
    stock_up,
)
from order_fulfilment.web_shop.payments import IPaymentProvider


def register_web_shop(
    registry: HandlerRegistry,
    provider: IPaymentProvider,
    timers: CommandScheduler,
    time_to_pay: timedelta,
) -> None:
    """Register what the web shop does."""
    payments = Payments(provider, timers, time_to_pay)
    registry.register_command_handler(StockUp, stock_up)
    registry.register_command_handler(PlacePurchase, place_purchase)
    registry.register_command_handler(ReserveStock, reserve_stock)
    registry.register_command_handler(ChargeCard, payments.charge)
    registry.register_command_handler(AwaitTransfer, payments.await_transfer)
    registry.register_command_handler(RecordPayment, payments.record)
    registry.register_command_handler(GiveUpUnpaid, give_up_unpaid)
    registry.register_command_handler(ShipPurchase, ship_purchase)
    registry.register_command_handler(ConfirmPurchase, confirm_purchase)
    registry.register_command_handler(RefundPurchase, payments.refund)
    registry.register_command_handler(CancelPurchase, cancel_purchase)
    registry.register_command_handler(SendDailyReport, send_daily_report)
