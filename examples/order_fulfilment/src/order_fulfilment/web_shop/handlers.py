"""What the web shop does when it is told so."""

from datetime import timedelta

from cqrs_ddd_advanced_core.scheduling import CommandScheduler
from cqrs_ddd_core import QueryOptions, utc_now
from cqrs_ddd_specifications import SpecificationBuilder
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
from order_fulfilment.web_shop.payments import IPaymentProvider
from order_fulfilment.web_shop.purchase import Article, Purchase, PurchaseStatus
from order_fulfilment.web_shop.report import DailyReport
from order_fulfilment.web_shop.repositories import WebShopRepositories


async def stock_up(command: StockUp, uow: WebShopRepositories) -> None:
    """Add goods to an article, which may be new."""
    article = await uow.articles.get(command.stock_code)
    if article is None:
        await uow.articles.add(Article(id=command.stock_code, available=command.quantity))
    else:
        article.available += command.quantity


async def place_purchase(command: PlacePurchase, uow: WebShopRepositories) -> None:
    """Begin a purchase, and with it its saga; a second click on the button changes nothing."""
    if await uow.purchases.get(command.purchase_id) is not None:
        return
    purchase = Purchase.place(
        command.purchase_id,
        stock_code=command.stock_code,
        quantity=command.quantity,
        amount=command.amount,
        pays_by=command.pays_by,
    )
    await uow.purchases.add(purchase)


async def reserve_stock(command: ReserveStock, uow: WebShopRepositories) -> None:
    """Keep the goods for a purchase."""
    purchase = await uow.purchases.require(command.purchase_id)
    (await uow.articles.require(purchase.stock_code)).reserve(purchase)


async def give_up_unpaid(command: GiveUpUnpaid, uow: WebShopRepositories) -> None:
    """Take note that the time to pay is over."""
    (await uow.purchases.require(command.purchase_id)).becomes_overdue()


async def ship_purchase(command: ShipPurchase, uow: WebShopRepositories) -> None:
    """Hand the parcel over."""
    purchase = await uow.purchases.require(command.purchase_id)
    purchase.ship()
    (await uow.articles.require(purchase.stock_code)).hand_out(purchase.id)


async def confirm_purchase(command: ConfirmPurchase, uow: WebShopRepositories) -> None:
    """Tell the customer."""
    (await uow.purchases.require(command.purchase_id)).confirm()


async def cancel_purchase(command: CancelPurchase, uow: WebShopRepositories) -> None:
    """Give a purchase up and put its goods back."""
    purchase = await uow.purchases.require(command.purchase_id)
    purchase.cancel()
    article = await uow.articles.get(purchase.stock_code)
    if article is not None:
        article.give_back(purchase.id)


async def send_daily_report(_: SendDailyReport, uow: WebShopRepositories) -> None:
    """Write the report of the day, once."""
    day = utc_now().date().isoformat()
    if await uow.daily_reports.get(day) is None:
        counts = {status.value: await _count(uow, status) for status in PurchaseStatus}
        await uow.daily_reports.add(DailyReport.of(day, counts))


async def _count(uow: WebShopRepositories, status: PurchaseStatus) -> int:
    has_it = SpecificationBuilder().where("status", "==", status).build()
    found = await uow.purchases.search(QueryOptions().with_specification(has_it))
    return await found.total_count()


class Payments:
    """What has to do with money: the provider, and the time to pay."""

    def __init__(
        self, provider: IPaymentProvider, timers: CommandScheduler, time_to_pay: timedelta
    ) -> None:
        self._provider, self._timers, self._time_to_pay = provider, timers, time_to_pay

    async def charge(self, command: ChargeCard, uow: WebShopRepositories) -> None:
        """Have the provider take the money; the key makes a repeated call harmless."""
        await self._provider.charge(command.purchase_id, command.amount)
        (await uow.purchases.require(command.purchase_id)).pay()

    async def await_transfer(self, command: AwaitTransfer) -> None:
        """Set the timer that goes off when no money comes."""
        overdue = GiveUpUnpaid(purchase_id=command.purchase_id)
        await self._timers.schedule(
            overdue, after=self._time_to_pay, key=f"unpaid/{command.purchase_id}"
        )

    async def record(self, command: RecordPayment, uow: WebShopRepositories) -> None:
        """Take note of the money, and stop waiting for it."""
        (await uow.purchases.require(command.purchase_id)).pay()
        await self._timers.cancel(f"unpaid/{command.purchase_id}")

    async def refund(self, command: RefundPurchase) -> None:
        """Give the money back, if there is any."""
        await self._provider.refund(command.purchase_id)
