"""What follows from events, in each phase."""

from cqrs_ddd_core import EventHandler
from order_fulfilment.application.records import Refund
from order_fulfilment.application.repositories import ShopRepositories
from order_fulfilment.domain import CancellationMatched, CancellationRecorded, OrderPlaced


async def close_cancellation(event: CancellationMatched, uow: ShopRepositories) -> None:
    """IN_TRANSACTION: its order is found; nobody looks for it again, from this commit on."""
    await uow.open_cancellations.delete(event.aggregate_id or "")


class Notifications(EventHandler[OrderPlaced]):
    """AFTER_COMMIT: tells customers that we have their order; no harm when one is lost."""

    def __init__(self) -> None:
        self.sent = 0

    async def handle(self, event: OrderPlaced, /) -> None:
        """Count what would be sent; not every customer is known."""
        self.sent += event.customer_id is not None


async def pay_back(event: CancellationRecorded, uow: ShopRepositories) -> None:
    """DURABLE: money goes back once, however often this is interrupted and repeated.

    The inbox notes in the same transaction that this event has been dealt with.
    """
    await uow.refunds.add(Refund.of(event))
