"""From files to the report: in memory for the rules, on every database for the figures."""

import asyncio
import csv
import json
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from order_fulfilment.application import (
    Application,
    ImportStatus,
    ListRejects,
    SalesReport,
    import_file,
)
from order_fulfilment.infrastructure.database import open_shop
from order_fulfilment.infrastructure.retail_file import RetailFile

CsvFile = Callable[..., Path]
ReportOf = Callable[[Application], Any]
Recompute = Callable[..., dict[str, Any]]

SALE = "536365,71053,LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,France"
OTHER = "536366,22752,BOX,2,2010-12-02 08:28:00,7.65,13047.0,Norway"
BACK = "C536367,71053,LANTERN,-4,2010-12-03 10:00:00,3.39,17850.0,France"


async def take_in(shop: Application, *paths: Path, rows_per_commit: int = 500) -> ImportStatus:
    status = ImportStatus()
    for path in paths:
        file = RetailFile(path)
        status = await import_file(shop.mediator, file, rows_per_commit=rows_per_commit)
    return status


async def rejects(shop: Application, path: Path) -> list[tuple[int, str, str]]:
    rows = (await shop.mediator.query(ListRejects(file=RetailFile(path).id))).result
    return [(row.number, row.reason, row.text) for row in rows]


def plain(report: SalesReport) -> dict[str, Any]:
    """Return the report in the form of the recomputation."""
    top = [(product.stock_code, product.net_revenue) for product in report.top_products]
    return {**dict(report), "top_products": top}


async def test_the_report_equals_a_plain_recomputation_on_every_database(
    database_url: str, orders_file: Path, recompute: Recompute, report_of: ReportOf
) -> None:
    async with open_shop(database_url) as shop:
        status = await take_in(shop, orders_file)
        refused = {(orders_file.name, number) for number, *_ in await rejects(shop, orders_file)}
        report: SalesReport = await report_of(shop)
    assert plain(report) == recompute([orders_file], refused)
    with orders_file.open(newline="") as stream:
        assert status.accepted + status.rejected == len(list(csv.reader(stream))) - 1
    assert (report.rows_accepted, report.rows_rejected) == (status.accepted, status.rejected)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_wrong_with_a_file_every_other_row_is_imported(
    shop: Application, sample: Path, recompute: Recompute, report_of: ReportOf, seed: int
) -> None:
    path, chance = sample.with_name(f"untidy-{seed}.csv"), random.Random(seed)
    with sample.open(newline="") as tidy, path.open("w", encoding="utf-8", newline="") as untidy:
        header, *rows = csv.reader(tidy)
        writer = csv.writer(untidy)
        writer.writerow(header)
        writer.writerows(spoilt(row, chance) for row in rows[:800])
    status = await take_in(shop, path, rows_per_commit=50)
    refused = {(path.name, number) for number, *_ in await rejects(shop, path)}
    assert status.accepted + status.rejected == 800
    assert 100 < len(refused) < 400
    assert plain(await report_of(shop)) == recompute([path], refused)


def spoilt(row: list[str], chance: random.Random) -> list[str]:
    """Return ``row`` with something wrong, one time in three."""
    row = list(row)
    if chance.random() < 0.3:
        wrong = ["", "?", "abc", "-5", "0", "1e3", "A123", "£1", 'q"q', "é", "2010-13-01", "9" * 30]
        row[chance.randrange(8)] = chance.choice(wrong)
    if chance.random() < 0.05:
        row = row[: chance.randrange(1, 8)]
    return row


async def test_taking_a_file_in_again_changes_nothing_on_every_database(
    database_url: str, sample: Path, report_of: ReportOf
) -> None:
    async with open_shop(database_url) as shop:
        first, report = await take_in(shop, sample), await report_of(shop)
    async with open_shop(database_url) as shop:
        again, same = await take_in(shop, sample), await report_of(shop)
        assert (shop.notifications.sent, again, same) == (0, first, report)


async def test_the_size_of_a_commit_does_not_show(
    shop: Application, sample: Path, recompute: Recompute, report_of: ReportOf
) -> None:
    await take_in(shop, sample, rows_per_commit=1)
    refused = {(sample.name, number) for number, *_ in await rejects(shop, sample)}
    assert plain(await report_of(shop)) == recompute([sample], refused)


async def test_two_runs_at_once_take_a_file_in_once(
    database_url: str, sample: Path, recompute: Recompute, report_of: ReportOf
) -> None:
    async with open_shop(database_url) as one, open_shop(database_url) as two:
        first, second = await asyncio.gather(take_in(one, sample), take_in(two, sample))
        refused = {(sample.name, number) for number, *_ in await rejects(one, sample)}
        assert first == second
        assert plain(await report_of(one)) == recompute([sample], refused)


async def test_a_failure_undoes_the_whole_part_and_a_new_run_goes_on_behind_the_last_one(
    shop: Application, csv_file: CsvFile, report_of: ReportOf
) -> None:
    path = csv_file(SALE, OTHER, BACK)

    class StopError(Exception):
        pass

    def stop_after_first(line: int) -> None:
        if line == 2:
            raise StopError

    try:
        await import_file(shop.mediator, RetailFile(path), stop_after_first, rows_per_commit=1)
    except StopError:
        assert (await report_of(shop)).rows_accepted == 1
    assert await take_in(shop, path) == ImportStatus(through=4, accepted=3, rejected=0)
    report: SalesReport = await report_of(shop)
    assert (report.gross_revenue, report.refunds) == (Decimal("35.64"), Decimal("-13.56"))
    assert [message.event_type for message in await shop.outbox.get_pending()] == [
        "CancellationRecorded"
    ]


async def test_the_phases_of_events_do_their_work(shop: Application, csv_file: CsvFile) -> None:
    await take_in(shop, csv_file(SALE, BACK, "536368,22752,BOX,2,2010-12-02,7.65,,Norway"))
    assert shop.notifications.sent == 1  # the other order's customer is not known
    [message] = await shop.outbox.get_pending()
    assert json.loads(message.payload)["lines"][0]["quantity"] == -4


async def test_money_goes_back_once_for_each_cancellation_on_every_database(
    database_url: str, csv_file: CsvFile
) -> None:
    async with open_shop(database_url) as shop:
        await take_in(shop, csv_file(SALE, BACK))
        async with shop.worker():
            await shop.settled()
        assert await shop.outbox.get_pending() == []
        async with shop.stores.uow_factory() as uow:
            [refund] = await uow.refunds.list_all()
    assert (refund.invoice, refund.customer_id) == ("C536367", 17850)
    assert refund.amount == Decimal("13.56")


async def test_rows_of_one_invoice_need_not_stand_together(
    shop: Application, csv_file: CsvFile, report_of: ReportOf
) -> None:
    await take_in(shop, csv_file(SALE, OTHER, SALE, BACK, SALE), rows_per_commit=1)
    report: SalesReport = await report_of(shop)
    assert (report.orders, report.cancellations, report.rows_accepted) == (2, 1, 5)
    assert report.stock_movements == {"71053": 14, "22752": 2}


async def test_what_another_file_has_brought_is_rejected_and_the_rest_is_added(
    shop: Application, csv_file: CsvFile, report_of: ReportOf
) -> None:
    await take_in(shop, csv_file(SALE, SALE, name="first.csv"))
    more = csv_file(SALE, SALE.replace("71053", "22752"), OTHER, name="second.csv")
    assert await take_in(shop, more) == ImportStatus(through=4, accepted=2, rejected=1)
    [(number, reason, text)] = await rejects(shop, more)
    assert (number, text) == (2, SALE)
    assert reason == "invoice 536365 has this line from another file already"
    report: SalesReport = await report_of(shop)
    assert (report.orders, report.rows_accepted, report.rows_rejected) == (2, 4, 1)


async def test_rows_of_one_invoice_may_name_several_customers_and_countries(
    shop: Application, csv_file: CsvFile, report_of: ReportOf
) -> None:
    others = SALE.replace("17850.0", ""), SALE.replace("France", "Norway").replace("17850", "1")
    await take_in(shop, csv_file(others[0], SALE, others[1]))
    async with shop.stores.uow_factory() as uow:
        assert (await uow.orders.require("536365")).customer_id == 17850
    by_country = (await report_of(shop)).revenue_by_country
    assert by_country == {"France": Decimal("40.68"), "Norway": Decimal("20.34")}


async def test_rows_that_break_a_rule_of_the_domain_are_rejected_alone(
    shop: Application, csv_file: CsvFile
) -> None:
    path = csv_file(
        "536589,21777,,-10,2010-12-01 16:50:00,0.0,,United Kingdom",
        SALE,
        SALE.replace("3.39", "-3.39"),
        BACK.replace("-4", "4"),
        "total\0",
    )
    assert await take_in(shop, path) == ImportStatus(through=6, accepted=1, rejected=4)
    assert [number for number, *_ in await rejects(shop, path)] == [2, 4, 5, 6]
    assert (await rejects(shop, path))[-1][2] == "total\N{SYMBOL FOR NULL}"


async def test_a_cancellation_finds_its_order_whichever_file_comes_first(
    database_url: str, csv_file: CsvFile
) -> None:
    late, early = csv_file(BACK, name="late.csv"), csv_file(SALE, OTHER, name="early.csv")
    async with open_shop(database_url) as shop:
        await take_in(shop, late)
        await take_in(shop, early)
        async with shop.stores.uow_factory() as uow:
            found = await uow.cancellations.require("C536367")
            order = await uow.orders.require("536365")
    assert (found.order_id, order.returned) == ("536365", {"71053": 4})


async def test_a_cancellation_whose_order_is_nowhere_is_recorded_on_its_own(
    shop: Application, csv_file: CsvFile, report_of: ReportOf
) -> None:
    await take_in(shop, csv_file(BACK, SALE.replace(",6,", ",3,")))
    async with shop.stores.uow_factory() as uow:
        assert (await uow.cancellations.require("C536367")).order_id is None
    assert (await report_of(shop)).refunds == Decimal("-13.56")


async def test_an_empty_shop_has_a_report(shop: Application, report_of: ReportOf) -> None:
    report: SalesReport = await report_of(shop)
    assert (report.orders, report.net_revenue, report.top_products) == (0, 0, [])
