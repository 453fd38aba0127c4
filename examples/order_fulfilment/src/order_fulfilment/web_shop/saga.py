"""From purchase to parcel: reserve, take the money, ship, confirm; or undo what was done."""

from datetime import timedelta

from cqrs_ddd_advanced_core.sagas import SagaBuilder
from order_fulfilment.web_shop.commands import (
    AwaitTransfer,
    CancelPurchase,
    ChargeCard,
    ConfirmPurchase,
    PurchaseCommand,
    RefundPurchase,
    ReserveStock,
    ShipPurchase,
)
from order_fulfilment.web_shop.purchase import (
    PaymentMethod,
    PaymentOverdue,
    PurchasePaid,
    PurchasePlaced,
    PurchaseShipped,
    StockReserved,
)


def _collect(event: StockReserved) -> PurchaseCommand:
    if event.pays_by is PaymentMethod.CARD:
        return ChargeCard(purchase_id=event.purchase_id, amount=event.amount)
    return AwaitTransfer(purchase_id=event.purchase_id)


FULFILMENT = (
    SagaBuilder("fulfilment")
    .correlate_by("purchase_id")
    .with_max_retries(5, base_delay=0.1, max_delay=10.0)
    .on(
        PurchasePlaced,
        send=lambda event: ReserveStock(purchase_id=event.purchase_id),
        step="reserving",
        compensate=lambda event: CancelPurchase(purchase_id=event.purchase_id),
        compensate_description="the purchase is cancelled, its goods go back",
    )
    .on(
        StockReserved,
        send=_collect,
        step="collecting",
        compensate=lambda event: RefundPurchase(purchase_id=event.purchase_id),
        compensate_description="the money goes back",
    )
    .on(PaymentOverdue, fail="not paid in time")
    .on(
        PurchasePaid,
        send=lambda event: ShipPurchase(purchase_id=event.purchase_id),
        step="shipping",
    )
    .on(
        PurchaseShipped,
        send=lambda event: ConfirmPurchase(purchase_id=event.purchase_id),
        step="confirming",
        complete=True,
    )
    .build()
)

TIME_TO_PAY = timedelta(days=3)
