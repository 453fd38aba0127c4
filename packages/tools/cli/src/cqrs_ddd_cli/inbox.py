"""``cqrs-ddd inbox``: the memory of what has been handled."""

import asyncio
from datetime import timedelta
from typing import Annotated

import typer

from cqrs_ddd_cli.durations import duration
from cqrs_ddd_cli.errors import plain_errors
from cqrs_ddd_cli.output import AsJson, print_json, say
from cqrs_ddd_cli.purging import purge_in_batches
from cqrs_ddd_cli.target import App, Database, InboxTable, Target

app = typer.Typer(
    help="Look after the memory of handled messages.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.callback()
def inbox() -> None:
    """Look after the memory of handled messages."""


@app.command()
def purge(
    *,
    older_than: Annotated[
        timedelta,
        typer.Option(
            "--older-than",
            parser=duration,
            metavar="DURATION",
            help="Those handled longer ago than this, such as 30d.",
        ),
    ],
    app_: App = None,
    database: Database = None,
    table: InboxTable = "inbox",
    as_json: AsJson = False,
) -> None:
    """Forget which messages were handled long ago.

    A message that comes again after that is handled again. Keep them longer than any broker or
    relay can hold one back, dead letters that may be redriven included.
    """
    with plain_errors():
        asyncio.run(_purge(Target(app_, database, table), older_than, as_json=as_json))


async def _purge(target: Target, older_than: timedelta, *, as_json: bool) -> None:
    async with target.inbox() as storage:
        purged = await purge_in_batches(storage.purge, older_than, None, hidden=as_json)
    if as_json:
        print_json({"purged": purged})
    else:
        say(f"Purged: {purged:,}.")
