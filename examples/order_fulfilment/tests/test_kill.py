"""A run that is killed loses nothing that was reported, and the next one finishes the work."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cqrs_ddd_core import VersionState
from order_fulfilment.application import (
    SALES,
    Application,
    GetSalesReport,
    ListRejects,
    SalesReport,
    import_file,
)
from order_fulfilment.infrastructure.database import open_shop
from order_fulfilment.infrastructure.retail_file import RetailFile

CHILD = """
import asyncio, sys
from pathlib import Path
from order_fulfilment.application import import_file
from order_fulfilment.infrastructure.database import open_shop
from order_fulfilment.infrastructure.retail_file import RetailFile

def tell(line):
    print(line, flush=True)

async def run(url, path, event_sourced):
    async with open_shop(url, event_sourced=bool(event_sourced)) as shop, shop.worker():
        if path:
            await import_file(shop.mediator, RetailFile(Path(path)), tell, rows_per_commit=20)
        else:
            await shop.sales.rebuild(lambda status: tell(status.position))

asyncio.run(run(*sys.argv[1:]))
"""


def run_until_killed(
    url: str, path: Path | None, event_sourced: bool, reports: int, chance: random.Random
) -> tuple[int, bool]:
    """Kill a run somewhere behind its ``reports``-th report; return the last one, and whether.

    Without a path, it is a rebuild of the figures that is killed.
    """
    command = [sys.executable, "-c", CHILD, url, str(path or ""), "yes" if event_sourced else ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        reported = [int(line) for _, line in zip(range(reports), child.stdout, strict=False)]
        for _ in range(chance.randrange(200_000)):  # somewhere inside the next transaction
            pass
        child.kill()
        reported += [int(line) for line in child.stdout]
        return reported[-1], child.wait() != 0


async def report_of(shop: Application) -> SalesReport:
    async with shop.worker():
        await shop.settled()
    return (await shop.mediator.query(GetSalesReport())).result


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("database", "event_sourced"),
    [("sqlite_url", False), ("postgres_url", True), ("mariadb_url", False)],
)
async def test_nothing_is_lost_or_doubled_when_a_run_is_killed_again_and_again(
    database: str,
    event_sourced: bool,
    request: pytest.FixtureRequest,
    sample: Path,
    recompute: Callable[..., dict[str, Any]],
) -> None:
    database_url: str = request.getfixturevalue(database)
    chance = random.Random(database_url)
    file, kills, reported = RetailFile(sample), 0, 0
    for _ in range(3):
        reported, killed = run_until_killed(
            database_url, sample, event_sourced, 1 + chance.randint(1, 5), chance
        )
        kills += killed
        async with open_shop(database_url, event_sourced=event_sourced) as shop:
            async with shop.stores.uow_factory() as uow:
                progress = await uow.imports.require(file.id)
                rejected = await (await uow.rejected_rows.search()).total_count()
            report = await report_of(shop)
        assert progress.through >= reported
        assert (progress.accepted, progress.rejected) == (report.rows_accepted, rejected)
        assert report.rows_rejected == rejected
    assert kills == 3
    assert 0 < reported < file.lines
    async with open_shop(database_url, event_sourced=event_sourced) as shop:
        async with shop.worker():
            await import_file(shop.mediator, file)
        report = await report_of(shop)
        rejects = (await shop.mediator.query(ListRejects(file=file.id))).result
        messages = await shop.outbox.get_pending()
        async with shop.stores.uow_factory() as uow:
            refunds = await uow.refunds.list_all()
    expected = recompute([sample], {(sample.name, row.number) for row in rejects})
    assert plain(report) == expected
    assert messages == []
    assert len(refunds) == len({refund.invoice for refund in refunds}) == report.cancellations
    assert -sum(refund.amount for refund in refunds) == report.refunds


def plain(report: SalesReport) -> dict[str, Any]:
    top = [(product.stock_code, product.net_revenue) for product in report.top_products]
    return {**dict(report), "top_products": top}


@pytest.mark.timeout(300)
async def test_a_rebuild_that_is_killed_again_and_again_ends_with_the_same_figures(
    database_url: str, sample: Path
) -> None:
    chance = random.Random(database_url)
    async with open_shop(database_url) as shop:
        async with shop.worker():
            await import_file(shop.mediator, RetailFile(sample))
        before = await report_of(shop)
    kills = 0
    while kills < 2:
        _, killed = run_until_killed(database_url, None, False, 1 + chance.randrange(3), chance)
        kills += killed
        async with open_shop(database_url) as shop:
            assert await report_of(shop) == before
    async with open_shop(database_url) as shop:
        async with shop.worker():
            await shop.sales.rebuild()
        assert await report_of(shop) == before
        [version] = [
            each
            for each in await shop.stores.checkpoints.versions(SALES)
            if each.state is VersionState.LIVE
        ]
    assert version.version > 1
