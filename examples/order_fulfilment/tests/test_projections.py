"""The report's figures: rebuilt, and the same however cancellations are kept."""

import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from order_fulfilment.application import SALES, Application
from order_fulfilment.domain import LineKind
from order_fulfilment.infrastructure.database import open_shop

from .test_import import plain, rejects, take_in

ReportOf = Callable[[Application], Any]
Recompute = Callable[..., dict[str, Any]]


async def damage(shop: Application) -> None:
    """Write a wrong figure into the version that is read."""
    [version] = await shop.stores.checkpoints.versions(SALES)
    async with shop.stores.uow_factory() as uow:
        writer = shop.stores.read_model.writer(version.version, uow)
        await writer.add(SALES, (LineKind.SALE, ""), {"amount": Decimal("0.01")})
        await writer.flush()


@pytest.mark.parametrize("event_sourced", [False, True], ids=["rows", "events"])
async def test_a_rebuild_gives_the_same_figures_on_every_database(
    event_sourced: bool,
    database_url: str,
    orders_files: list[Path],
    recompute: Recompute,
    report_of: ReportOf,
) -> None:
    async with open_shop(database_url, event_sourced=event_sourced) as shop, shop.worker():
        began = perf_counter()
        await take_in(shop, *orders_files)
        await shop.settled()
        imported = perf_counter()
        refused = {
            (path.name, number) for path in orders_files for number, *_ in await rejects(shop, path)
        }
        await damage(shop)
        assert plain(await report_of(shop)) != recompute(orders_files, refused)
        again = perf_counter()
        version = await shop.sales.rebuild()
        took = perf_counter() - again
        assert plain(await report_of(shop)) == recompute(orders_files, refused)
        events = await shop.stores.event_store.latest_position()
    assert version.version == 2
    sys.stdout.write(
        f"{len(orders_files)} file(s): imported in {imported - began:.1f} s, figures of {events} "
        f"events rebuilt in {took:.1f} s\n"
    )


async def everything(shop: Application) -> tuple[dict[str, Any], ...]:
    """Return the cancellations with their orders, what came back to each, and what was paid."""
    await shop.settled()
    async with shop.stores.uow_factory() as uow:
        refunds = {refund.invoice: refund.amount for refund in await uow.refunds.list_all()}
        cancellations = await uow.cancellations.list_all(sorted(refunds))
        matched = {each.id: (each.order_id, each.customer_id, each.lines) for each in cancellations}
        returned = {order.id: order.returned for order in await uow.orders.list_all()}
    return matched, returned, refunds


async def test_cancellations_kept_as_events_are_the_same_as_rows_on_every_database(
    database_url: str, orders_files: list[Path], tmp_path: Path, report_of: ReportOf
) -> None:
    urls = {False: f"sqlite:///{tmp_path / 'rows.sqlite'}", True: database_url}
    found: dict[bool, Any] = {}
    for event_sourced, url in urls.items():
        async with open_shop(url, event_sourced=event_sourced) as shop, shop.worker():
            await take_in(shop, *orders_files, rows_per_commit=100)
            found[event_sourced] = await everything(shop), await report_of(shop)
    assert found[True] == found[False]
    (matched, _, _), report = found[True]
    assert len(matched) == report.cancellations > 0
    assert any(order_id for order_id, *_ in matched.values())


async def test_a_shop_changes_from_rows_to_events_between_two_files(
    database_url: str, csv_file: Callable[..., Path], report_of: ReportOf
) -> None:
    back = "C536367,71053,LANTERN,-4,2010-12-03 10:00:00,3.39,17850.0,France"
    sale = "536365,71053,LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,France"
    async with open_shop(database_url) as shop:
        await take_in(shop, csv_file(back, name="first.csv"))
    async with open_shop(database_url, event_sourced=True) as shop:
        await take_in(shop, csv_file(sale, back.replace("-4", "-1"), name="second.csv"))
        async with shop.stores.uow_factory() as uow:
            found = await uow.cancellations.require("C536367")
        report = await report_of(shop)
    assert (len(found.lines), found.order_id) == (2, "536365")
    assert (report.orders, report.cancellations, report.stock_movements) == (1, 1, {"71053": 1})


async def test_long_names_that_differ_in_case_have_figures_of_their_own(
    database_url: str, csv_file: Callable[..., Path], report_of: ReportOf
) -> None:
    sale = "536365,{},LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,France"
    codes = ["a" * 255, "A" * 255, "b" * 256]
    path = csv_file(*(sale.format(code) for code in codes))
    async with open_shop(database_url) as shop:
        await take_in(shop, path)
        [(_, reason, _)] = await rejects(shop, path)
        report = await report_of(shop)
    assert reason == "StockCode has more than 255 characters"
    assert report.stock_movements == {codes[0]: 6, codes[1]: 6}
