"""Purchases go through their saga to a parcel, or leave nothing behind."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cqrs_ddd_advanced_core.sagas import SagaInstance, SagaStatus
from cqrs_ddd_advanced_core.scheduling import CommandSchedulerService
from cqrs_ddd_core import use_clock
from cqrs_ddd_core.testing import ManualClock, until
from order_fulfilment.application import Application
from order_fulfilment.infrastructure.database import open_shop
from order_fulfilment.web_shop import (
    FULFILMENT,
    PaymentMethod,
    PlacePurchase,
    Purchase,
    PurchaseStatus,
    RecordPayment,
    SendDailyReport,
    StockUp,
    trade,
)

SHORT = timedelta(milliseconds=200)
ARTICLE = "22423"


@pytest.fixture
async def web_shop(database_url: str) -> AsyncIterator[Application]:
    """The shop on each server, at work."""
    async with open_shop(database_url, seed=3, time_to_pay=SHORT) as shop, shop.worker():
        yield shop


async def ended(shop: Application, purchase_id: str) -> SagaInstance:
    """The saga of a purchase, once it has come to its end."""

    async def has_ended() -> SagaInstance | None:
        saga = await shop.stores.sagas.find_by_key(FULFILMENT.name, purchase_id)
        is_over = saga is not None and (saga.status.is_final or saga.status.needs_a_person)
        return saga if is_over else None

    saga = await until(has_ended, timeout=90)
    assert saga is not None
    return saga


async def purchase_of(shop: Application, purchase_id: str) -> Purchase:
    async with shop.stores.uow_factory() as uow:
        return await uow.purchases.require(purchase_id)


async def stock_of(shop: Application, stock_code: str) -> tuple[int, dict[str, int]]:
    async with shop.stores.uow_factory() as uow:
        article = await uow.articles.require(stock_code)
        return article.available, article.reserved


async def buy(shop: Application, purchase_id: str, **values: Any) -> None:
    await shop.mediator.send(StockUp(stock_code=ARTICLE, quantity=30))
    defaults: dict[str, Any] = {
        "stock_code": ARTICLE,
        "quantity": 2,
        "amount": Decimal("8.50"),
        "pays_by": PaymentMethod.TRANSFER,
    }
    await shop.mediator.send(PlacePurchase(purchase_id=purchase_id, **{**defaults, **values}))


async def test_a_purchase_becomes_a_parcel(web_shop: Application) -> None:
    await buy(web_shop, "P-1")
    await web_shop.mediator.send(RecordPayment(purchase_id="P-1"))
    assert (await ended(web_shop, "P-1")).status is SagaStatus.COMPLETED
    assert (await purchase_of(web_shop, "P-1")).status is PurchaseStatus.CONFIRMED
    assert await stock_of(web_shop, ARTICLE) == (28, {})


async def test_one_that_nobody_pays_is_given_up_by_its_timer(web_shop: Application) -> None:
    await buy(web_shop, "P-1")
    saga = await ended(web_shop, "P-1")
    assert (saga.status, saga.error) == (SagaStatus.COMPENSATED, "not paid in time")
    assert (await purchase_of(web_shop, "P-1")).status is PurchaseStatus.CANCELLED
    assert await stock_of(web_shop, ARTICLE) == (30, {})


async def test_one_that_cannot_be_shipped_is_undone_step_by_step(web_shop: Application) -> None:
    await buy(web_shop, "P-1", quantity=24)
    await web_shop.mediator.send(RecordPayment(purchase_id="P-1"))
    saga = await ended(web_shop, "P-1")
    history = await web_shop.stores.sagas.history(saga.saga_id)
    undone = [entry.step for entry in history if (entry.action, entry.outcome) == UNDONE]
    assert undone == ["collecting", "reserving"]
    assert await stock_of(web_shop, ARTICLE) == (30, {})


UNDONE = ("compensate", "completed")


async def test_a_provider_that_fails_and_answers_twice_takes_and_gives_money_once(
    web_shop: Application,
) -> None:
    placed = await trade(web_shop.mediator, 24, seed=3)
    sagas = {purchase_id: await ended(web_shop, purchase_id) for purchase_id in placed}
    await web_shop.provider.settled()
    outcomes = Counter(saga.status for saga in sagas.values())
    assert set(outcomes) == {SagaStatus.COMPLETED, SagaStatus.COMPENSATED}
    provider = web_shop.provider
    assert set(provider.charges.values()) == {1}
    assert set(provider.refunds.values()) == {1}
    confirmed = [key for key, saga in sagas.items() if saga.status is SagaStatus.COMPLETED]
    assert provider.charges.keys() - provider.refunds.keys() <= set(confirmed)
    kept = [await purchase_of(web_shop, key) for key in confirmed]
    by_card = [each.amount for each in kept if each.pays_by is PaymentMethod.CARD]
    assert provider.balance == sum(by_card)
    again = await trade(web_shop.mediator, 24, seed=3)
    assert again == placed
    assert {key: (await ended(web_shop, key)).status for key in placed} == {
        key: saga.status for key, saga in sagas.items()
    }


async def test_the_report_of_the_day_is_sent_once_by_schedule(shop: Application) -> None:
    clock = ManualClock(start=datetime(2026, 5, 4, 7, 59, tzinfo=UTC))
    with use_clock(clock):
        await shop.timers.schedule_cron(SendDailyReport(), "0 8 * * *", key="of-the-test")
        timers = CommandSchedulerService(shop.timers, shop.mediator)
        await buy(shop, "P-1")
        assert await timers.process_due_commands() == 0
        clock.advance(60.0)
        assert await timers.process_due_commands() == 1
        assert await timers.process_due_commands() == 0
    async with shop.stores.uow_factory() as uow:
        report = await uow.daily_reports.require("2026-05-04")
    assert report.counts["placed"] == 1
