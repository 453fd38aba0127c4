"""``cqrs-ddd outbox``: what waits, what failed, and what to do about it."""

import asyncio
from datetime import timedelta
from typing import Annotated

import typer

from cqrs_ddd_cli.dead_letters import dead_letters, discard, redrive
from cqrs_ddd_cli.durations import duration
from cqrs_ddd_cli.errors import TROUBLE, plain_errors
from cqrs_ddd_cli.outbox_list import dead_among, entries_of, entry_as_data, show_entries
from cqrs_ddd_cli.outbox_view import (
    show_statistics,
    statistics_as_data,
    troubles_of,
)
from cqrs_ddd_cli.output import AsJson, Limit, print_json, say, say_rest
from cqrs_ddd_cli.purging import purge_in_batches
from cqrs_ddd_cli.target import App, Database, OutboxTable, Target

app = typer.Typer(
    help="Look after the messages on their way out.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command()
def status(
    *,
    app_: App = None,
    database: Database = None,
    table: OutboxTable = "outbox",
    check: Annotated[
        bool, typer.Option("--check", help="End with code 1 when something is wrong.")
    ] = False,
    max_age: Annotated[
        timedelta | None,
        typer.Option(
            "--max-age",
            parser=duration,
            metavar="DURATION",
            help="It is wrong when a message waits longer than this, such as 5m.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how many messages wait, since when, and what is wrong.

    Wrong are dead letters, messages that wait while no relay is at work, and messages that wait
    longer than --max-age. With --check, the exit code says so: 0 when all is well, else 1.
    """
    with plain_errors():
        limit = None if max_age is None else max_age.total_seconds()
        troubles = asyncio.run(_status(Target(app_, database, table), limit, as_json=as_json))
        if check and troubles:
            raise typer.Exit(TROUBLE)


@app.command("list")
def list_(
    *,
    app_: App = None,
    database: Database = None,
    table: OutboxTable = "outbox",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the messages that are not delivered yet, the oldest first."""
    with plain_errors():
        asyncio.run(_list(Target(app_, database, table), limit, as_json=as_json))


app.command("dead-letters")(dead_letters)
app.command("redrive")(redrive)
app.command("discard")(discard)


@app.command()
def purge(
    *,
    older_than: Annotated[
        timedelta,
        typer.Option(
            "--older-than",
            parser=duration,
            metavar="DURATION",
            help="Those delivered longer ago than this, such as 7d.",
        ),
    ],
    app_: App = None,
    database: Database = None,
    table: OutboxTable = "outbox",
    as_json: AsJson = False,
) -> None:
    """Forget messages that were delivered and archived; what is not delivered is never touched."""
    with plain_errors():
        asyncio.run(_purge(Target(app_, database, table), older_than, as_json=as_json))


async def _status(target: Target, max_age: float | None, *, as_json: bool) -> list[str]:
    async with target.outbox() as outbox:
        statistics = await outbox.statistics()
    troubles = troubles_of(statistics, max_age)
    if as_json:
        print_json(statistics_as_data(statistics, troubles))
    else:
        show_statistics(statistics, troubles)
    return troubles


async def _list(target: Target, limit: int, *, as_json: bool) -> None:
    async with target.outbox() as outbox:
        statistics = await outbox.statistics()
        messages = await outbox.get_pending(limit)
        entries = entries_of(
            messages,
            await outbox.retrying(statistics.retrying),
            await dead_among(messages, outbox),
        )
    if as_json:
        data = [entry_as_data(entry) for entry in entries]
        print_json({"messages": data, "total": statistics.waiting})
    elif entries:
        show_entries(entries)
        say_rest(len(entries), statistics.waiting)
    else:
        say("Nothing waits: every message is delivered.")


async def _purge(target: Target, older_than: timedelta, *, as_json: bool) -> None:
    async with target.outbox() as outbox:
        archived = (await outbox.statistics()).archived
        purged = await purge_in_batches(outbox.purge, older_than, archived, hidden=as_json)
    if as_json:
        print_json({"purged": purged})
    else:
        say(f"Purged: {purged:,} of {archived:,} archived messages.")
