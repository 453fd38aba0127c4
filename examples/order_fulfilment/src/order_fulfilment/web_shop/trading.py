"""Customers, simulated: they buy, and most of those who promise a transfer make it."""

import random
from decimal import Decimal

from cqrs_ddd_core import Mediator
from order_fulfilment.web_shop.commands import PlacePurchase, RecordPayment, StockUp
from order_fulfilment.web_shop.purchase import PaymentMethod

_PRICE = Decimal("4.25")
_ARTICLES = ("22423", "85123A", "84879")
_STOCK = 120


async def trade(mediator: Mediator, number: int, seed: int) -> list[str]:
    """Have customers place purchases, and pay for some of them; return their ids.

    Args:
        mediator: takes the commands.
        number: how many purchases.
        seed: of the customers' wishes. The same ones again change nothing.
    """
    for stock_code in _ARTICLES:
        await mediator.send(StockUp(stock_code=stock_code, quantity=_STOCK))
    chance = random.Random(seed)  # noqa: S311 - a simulation
    placed = [f"P{seed}-{place}" for place in range(1, number + 1)]
    for purchase_id in placed:
        quantity = chance.choice([1, 2, 3, 6, 12, 24])
        pays_by = chance.choice([PaymentMethod.CARD, PaymentMethod.CARD, PaymentMethod.TRANSFER])
        await mediator.send(
            PlacePurchase(
                purchase_id=purchase_id,
                stock_code=chance.choice(_ARTICLES),
                quantity=quantity,
                amount=quantity * _PRICE,
                pays_by=pays_by,
            )
        )
        if pays_by is PaymentMethod.TRANSFER and chance.random() < 2 / 3:
            await mediator.send(RecordPayment(purchase_id=purchase_id))
    return placed
