"""``cqrs-ddd outbox``: what waits, what failed, and what to do about it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Annotated

import typer

from cqrs_ddd_cli.durations import duration
from cqrs_ddd_cli.errors import TROUBLE, TroubleError, plain_errors
from cqrs_ddd_cli.options import Everything, Limit, MessageIds, Yes
from cqrs_ddd_cli.outbox_list import entries_of, entry_as_data, show_entries
from cqrs_ddd_cli.outbox_view import (
    letter_as_data,
    show_dead_letters,
    show_statistics,
    statistics_as_data,
    troubles_of,
)
from cqrs_ddd_cli.output import AsJson, confirm, print_json, progress_bar, say, say_rest
from cqrs_ddd_cli.purging import purge_in_batches
from cqrs_ddd_cli.selection import Selection
from cqrs_ddd_cli.target import App, Database, OutboxTable, Target
from cqrs_ddd_core.ports import DeadLetter

_AT_ONCE = 500

app = typer.Typer(
    help="Look after the messages on their way out.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Keys = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="KEY", help="Those with this partition key; may be repeated."),
]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="TYPE", help="Those of this type; may be repeated."),
]


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


@app.command("dead-letters")
def dead_letters(
    *,
    app_: App = None,
    database: Database = None,
    table: OutboxTable = "outbox",
    key: Keys = None,
    type_: Types = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the messages that are tried no more, with the error that stopped each.

    Later messages of the same key wait behind a dead letter. Mend the cause, then redrive it.
    """
    with plain_errors():
        chosen = Selection((), key or (), type_ or (), everything=True)
        target = Target(app_, database, table)
        asyncio.run(_dead_letters(target, chosen, limit, as_json=as_json))


@app.command()
def redrive(
    message_id: MessageIds = None,
    *,
    app_: App = None,
    database: Database = None,
    table: OutboxTable = "outbox",
    key: Keys = None,
    type_: Types = None,
    everything: Everything = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Have dead letters tried again, as if they had never failed.

    Choose them by id, by --key and --type (those that have both), or --all. What waits behind one
    follows in order once it has been delivered. Safe while relays are at work.
    """
    with plain_errors():
        chosen = Selection(message_id or (), key or (), type_ or (), everything=everything)
        chosen.check()
        target = Target(app_, database, table)
        asyncio.run(_redrive(target, chosen, asks=everything and not yes, as_json=as_json))


@app.command()
def discard(
    message_id: Annotated[list[str], typer.Argument(metavar="MESSAGE_ID")],
    *,
    app_: App = None,
    database: Database = None,
    table: OutboxTable = "outbox",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove dead letters for good, so that what waits behind them goes on.

    The messages are never delivered. Redrive them instead when they can be delivered at all.
    """
    with plain_errors():
        chosen, target = Selection(message_id), Target(app_, database, table)
        asyncio.run(_discard(target, chosen, asks=not yes, as_json=as_json))


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
        entries = entries_of(
            await outbox.get_pending(limit),
            await outbox.retrying(statistics.retrying),
            await outbox.dead_letters(statistics.dead_letters),
        )
    if as_json:
        data = [entry_as_data(entry) for entry in entries]
        print_json({"messages": data, "total": statistics.waiting})
    elif entries:
        show_entries(entries)
        say_rest(len(entries), statistics.waiting)
    else:
        say("Nothing waits: every message is delivered.")


async def _dead_letters(target: Target, chosen: Selection, limit: int, *, as_json: bool) -> None:
    async with target.outbox() as outbox:
        letters = await chosen.of(outbox)
    shown = letters[:limit]
    if as_json:
        print_json(
            {"dead_letters": [letter_as_data(letter) for letter in shown], "total": len(letters)}
        )
    elif shown:
        show_dead_letters(shown)
        say_rest(len(shown), len(letters))
    else:
        say("There are no such dead letters." if chosen.narrows else "There are no dead letters.")


async def _redrive(target: Target, chosen: Selection, *, asks: bool, as_json: bool) -> None:
    async with target.outbox() as outbox:
        letters = await chosen.of(outbox)
        if asks and letters:
            confirm(f"Redrive all {len(letters)} dead letters?")
        done = await _in_batches("Redriving", letters, outbox.redrive, hidden=as_json)
    behind = sum(letter.parked_behind for letter in letters)
    if as_json:
        print_json({"redriven": done, "missing": chosen.missing(letters)})
    else:
        say(f"Redriven: {done}. They are delivered within seconds where a relay is at work.")
        if behind:
            say(f"{behind} message(s) waited behind them and follow in order.")
    _complain_of_missing(chosen, letters)


async def _discard(target: Target, chosen: Selection, *, asks: bool, as_json: bool) -> None:
    async with target.outbox() as outbox:
        letters = await chosen.of(outbox)
        if asks and letters:
            confirm(f"Remove {len(letters)} dead letter(s) for good? They are never delivered.")
        done = await _in_batches("Discarding", letters, outbox.discard, hidden=as_json)
    if as_json:
        print_json({"discarded": done, "missing": chosen.missing(letters)})
    else:
        say(f"Discarded: {done}.")
    _complain_of_missing(chosen, letters)


async def _purge(target: Target, older_than: timedelta, *, as_json: bool) -> None:
    async with target.outbox() as outbox:
        archived = (await outbox.statistics()).archived
        purged = await purge_in_batches(outbox.purge, older_than, archived, hidden=as_json)
    if as_json:
        print_json({"purged": purged})
    else:
        say(f"Purged: {purged:,} of {archived:,} archived messages.")


async def _in_batches(
    doing: str,
    letters: Sequence[DeadLetter],
    act: Callable[[Sequence[str]], Awaitable[int]],
    *,
    hidden: bool,
) -> int:
    """Do it to so many at a time, that no relay waits long; return how many it was done to."""
    ids, done = [letter.message.message_id for letter in letters], 0
    with progress_bar(doing, len(ids), hidden=hidden) as advance:
        for start in range(0, len(ids), _AT_ONCE):
            batch = ids[start : start + _AT_ONCE]
            done += await act(batch)
            advance(len(batch))
    return done


def _complain_of_missing(chosen: Selection, letters: Sequence[DeadLetter]) -> None:
    if missing := chosen.missing(letters):
        raise TroubleError(
            f"No dead letters have these ids: {', '.join(missing)}. They were delivered, redriven "
            "or discarded already, or never were here."
        )
