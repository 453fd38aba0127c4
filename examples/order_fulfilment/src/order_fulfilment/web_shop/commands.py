"""What the web shop can be told."""

from decimal import Decimal

from cqrs_ddd_core import Command
from order_fulfilment.web_shop.purchase import PaymentMethod


class StockUp(Command[None]):
    """Goods have come in."""

    stock_code: str
    quantity: int


class PlacePurchase(Command[None]):
    """A customer wants goods; the saga does the rest."""

    purchase_id: str
    stock_code: str
    quantity: int
    amount: Decimal
    pays_by: PaymentMethod


class PurchaseCommand(Command[None]):
    """Something to be done with a purchase."""

    purchase_id: str


class ReserveStock(PurchaseCommand):
    """Keep the goods for it."""


class ChargeCard(PurchaseCommand):
    """Have the provider take the money."""

    amount: Decimal


class AwaitTransfer(PurchaseCommand):
    """Give the customer some time to pay."""


class RecordPayment(PurchaseCommand):
    """The money is there, says the bank or the provider."""


class GiveUpUnpaid(PurchaseCommand):
    """The time to pay is over; sent by a timer."""


class ShipPurchase(PurchaseCommand):
    """Hand the parcel over."""


class ConfirmPurchase(PurchaseCommand):
    """Tell the customer."""


class RefundPurchase(PurchaseCommand):
    """Give the money back, if there is any."""


class CancelPurchase(PurchaseCommand):
    """Give it up and put the goods back."""


class SendDailyReport(Command[None]):
    """Tell the owner how the purchases stand; sent by a schedule."""
