"""A run that is killed loses nothing that was reported, and the next one finishes the work."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from order_fulfilment.application import GetSalesReport, ListRejects, import_file
from order_fulfilment.infrastructure.database import open_shop
from order_fulfilment.infrastructure.retail_file import RetailFile

CHILD = """
import asyncio, sys
from pathlib import Path
from order_fulfilment.application import import_file
from order_fulfilment.infrastructure.database import open_shop
from order_fulfilment.infrastructure.retail_file import RetailFile

async def run():
    async with open_shop(sys.argv[1]) as shop:
        await shop.outbox.start()
        file = RetailFile(Path(sys.argv[2]))
        tell = lambda line: print(line, flush=True)
        await import_file(shop.mediator, file, tell, rows_per_commit=20)

asyncio.run(run())
"""


def run_until_killed(url: str, path: Path, commits: int, chance: random.Random) -> tuple[int, bool]:
    """Kill a run somewhere behind its ``commits``-th report; return the last line reported."""
    command = [sys.executable, "-c", CHILD, url, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        reported = [int(child.stdout.readline()) for _ in range(commits + 1)]
        for _ in range(chance.randrange(200_000)):  # somewhere inside the next transaction
            pass
        child.kill()
        reported += [int(line) for line in child.stdout.read().split()]
        return reported[-1], child.wait() != 0


@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_doubled_when_a_run_is_killed_again_and_again(
    database_url: str, sample: Path, recompute: Callable[..., dict[str, Any]]
) -> None:
    chance = random.Random(database_url)
    file, kills, reported = RetailFile(sample), 0, 0
    for _ in range(3):
        reported, killed = run_until_killed(database_url, sample, chance.randint(1, 5), chance)
        kills += killed
        async with open_shop(database_url) as shop, shop.uow_factory() as uow:
            progress = await uow.imports.require(file.id)
            accepted = await (await uow.sales_lines.search()).total_count()
            rejected = await (await uow.rejected_rows.search()).total_count()
        assert progress.through >= reported
        assert (progress.accepted, progress.rejected) == (accepted, rejected)
    assert kills == 3
    assert 0 < reported < file.lines
    async with open_shop(database_url) as shop:
        await shop.outbox.start()
        await import_file(shop.mediator, file)
        await shop.outbox.drained()
        rejects = (await shop.mediator.query(ListRejects(file=file.id))).result
        report = (await shop.mediator.query(GetSalesReport())).result
        messages = await shop.outbox.get_pending()
        async with shop.uow_factory() as uow:
            refunds = await uow.refunds.list_all()
    expected = recompute([sample], {(sample.name, row.number) for row in rejects})
    top = [(product.stock_code, product.net_revenue) for product in report.top_products]
    assert {**dict(report), "top_products": top} == expected
    assert messages == []
    assert len(refunds) == len({refund.invoice for refund in refunds}) == report.cancellations
    assert -sum(refund.amount for refund in refunds) == report.refunds
