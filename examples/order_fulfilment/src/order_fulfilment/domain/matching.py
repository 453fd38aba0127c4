"""Finds the order behind a cancellation: nothing in the data names it."""

from collections.abc import Iterable
from contextlib import suppress

from order_fulfilment.domain.errors import NotSoldError
from order_fulfilment.domain.invoice import Cancellation, Order


def match(cancellation: Cancellation, orders: Iterable[Order]) -> bool:
    """Let ``cancellation`` refer to its order, if that is among ``orders``.

    That is the customer's latest order before the cancellation which has all of the goods left.
    """
    candidates = sorted(
        (
            order
            for order in orders
            if order.customer_id == cancellation.customer_id is not None
            and order.opened_at <= cancellation.opened_at
        ),
        key=lambda order: (order.opened_at, order.id),
        reverse=True,
    )
    for order in candidates:
        with suppress(NotSoldError):
            cancellation.refer_to(order)
            return True
    return False
