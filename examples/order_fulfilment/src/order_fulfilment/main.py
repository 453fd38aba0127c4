"""The command line: ``order-fulfilment import``, ``demo``, ``report`` and ``rebuild``."""

import asyncio
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from cqrs_ddd_advanced_core.sagas import SagaInstance, SagaStatus
from cqrs_ddd_core import CQRSDDDError
from order_fulfilment.application import (
    GetSalesReport,
    ImportStatus,
    ListRejects,
    SalesReport,
    import_file,
)
from order_fulfilment.infrastructure.database import open_shop
from order_fulfilment.infrastructure.rejects_file import check_rejects, write_rejects
from order_fulfilment.infrastructure.retail_file import RetailFile
from order_fulfilment.infrastructure.sample import write_sample
from order_fulfilment.presentation import as_json, progress_bar, show_purchases, show_report
from order_fulfilment.web_shop import FULFILMENT, trade

INTERRUPTED = 130
_LOOK_AGAIN = 0.05

app = typer.Typer(
    help="A small shop on the CQRS-DDD Toolkit.", no_args_is_help=True, add_completion=False
)
Database = Annotated[
    str, typer.Option("--database", help="sqlite:///, postgresql://, mysql:// or mariadb:// URL.")
]
DEFAULT_DATABASE = "sqlite:///order-fulfilment.sqlite"


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="A CSV file in the Online Retail format.")],
    database: Database = DEFAULT_DATABASE,
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", help="Where rows that make no sense go; NAME.rejects.csv here."),
    ] = None,
) -> None:
    """Take in the invoices of FILE; a file taken in before changes nothing."""
    with plain_errors():
        asyncio.run(_import(file, database, rejects or Path(f"{file.stem}.rejects.csv")))


@app.command()
def demo(database: Database = DEFAULT_DATABASE) -> None:
    """Take in a made-up file of a few thousand lines, then print the report."""
    with plain_errors(), tempfile.TemporaryDirectory() as folder:
        sample = Path(folder, "demo.csv")
        write_sample(sample)
        asyncio.run(_import(sample, database, Path("demo.rejects.csv")))
        show_report(Console(), asyncio.run(_report(database)))


@app.command()
def report(
    database: Database = DEFAULT_DATABASE,
    *,
    as_json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the figures of the shop."""
    with plain_errors():
        figures = asyncio.run(_report(database))
        if as_json_:
            print(as_json(figures))
        else:
            show_report(Console(), figures)


@app.command()
def rebuild(database: Database = DEFAULT_DATABASE) -> None:
    """Work the report's figures out anew, from the first event on; they can be read meanwhile."""
    with plain_errors():
        events = asyncio.run(_rebuild(database))
        print(f"The figures are those of {events} events.")


@app.command()
def fulfil(
    purchases: Annotated[int, typer.Argument(min=1, help="How many customers buy.")] = 30,
    database: Database = DEFAULT_DATABASE,
    *,
    seed: Annotated[int, typer.Option("--seed", help="Of the customers and the bank.")] = 1,
    time_to_pay: Annotated[float, typer.Option("--time-to-pay", help="Seconds.")] = 1.0,
) -> None:
    """Have customers buy in the web shop, and take each purchase to its end."""
    with plain_errors():
        asyncio.run(_fulfil(database, purchases, seed, timedelta(seconds=time_to_pay)))


async def _fulfil(database: str, number: int, seed: int, time_to_pay: timedelta) -> None:
    async with (
        open_shop(database, seed=seed, time_to_pay=time_to_pay) as shop,
        shop.worker(),
    ):
        placed = await trade(shop.mediator, number, seed)
        with progress_bar(Console(), "Purchases", number, "purchases") as advance:
            ended: list[SagaInstance] = []
            while len(ended) < number:
                await asyncio.sleep(_LOOK_AGAIN)
                found = [
                    await shop.stores.sagas.find_by_key(FULFILMENT.name, each) for each in placed
                ]
                ended = [saga for saga in found if saga and _has_ended(saga.status)]
                advance(len(ended))
        await shop.provider.settled()
        show_purchases(Console(), ended, shop.provider)


def _has_ended(status: SagaStatus) -> bool:
    return status.is_final or status.needs_a_person


async def _import(path: Path, database: str, rejects: Path) -> None:
    file, console = RetailFile(path), Console()
    check_rejects(rejects, path)
    async with open_shop(database) as shop, shop.worker():
        with progress_bar(console, file.name, file.lines, "lines") as advance:
            status = await import_file(shop.mediator, file, advance)
        await shop.settled()
        write_rejects(rejects, (await shop.mediator.query(ListRejects(file=file.id))).result)
        _show(console, file.name, status, shop.notifications.sent, rejects)


def _show(
    console: Console, name: str, status: ImportStatus, confirmations: int, rejects: Path
) -> None:
    read = status.accepted + status.rejected
    console.print(
        f"{name}: {read} rows read, {status.accepted} accepted, {status.rejected} rejected; "
        f"{confirmations} orders confirmed in this run. Rejects: {rejects}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )


async def _report(database: str) -> SalesReport:
    async with open_shop(database) as shop, shop.worker():
        await shop.settled()
        return (await shop.mediator.query(GetSalesReport())).result


async def _rebuild(database: str) -> int:
    async with open_shop(database) as shop, shop.worker():
        latest = await shop.stores.event_store.latest_position()
        with progress_bar(Console(), "Rebuilding", latest, "events") as advance:
            await shop.sales.rebuild(lambda status: advance(status.position))
        return latest


@contextmanager
def plain_errors() -> Generator[None]:
    """Say in one line what went wrong, and end with a code other than 0."""
    try:
        yield
    except KeyboardInterrupt:
        print(
            "Interrupted. What was reported as done is safe; run the same command again to go on.",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None
    except (CQRSDDDError, SQLAlchemyError, OSError) as error:
        print(f"Error: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(1) from error
