"""``cqrs-ddd outbox dead-letters``, ``redrive`` and ``discard``."""

import asyncio
import sys
from datetime import timedelta
from typing import Annotated

import typer

from cqrs_ddd_cli.durations import duration
from cqrs_ddd_cli.errors import TroubleError, UsageError, plain_errors
from cqrs_ddd_cli.outbox_view import letter_as_data, show_dead_letters
from cqrs_ddd_cli.output import AsJson, Limit, print_json, say, say_rest
from cqrs_ddd_cli.selection import Outcome, Selection, do_to_each
from cqrs_ddd_cli.target import App, Database, OutboxTable, Target
from cqrs_ddd_core.ports import DeadLetterFilter

Keys = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="KEY", help="Those with this partition key; may be repeated."),
]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="TYPE", help="Those of this type; may be repeated."),
]
MessageIds = Annotated[
    list[str] | None, typer.Argument(metavar="MESSAGE_ID", help="These messages.")
]
OlderThan = Annotated[
    timedelta | None,
    typer.Option(
        "--older-than",
        parser=duration,
        metavar="DURATION",
        help="Those that failed first longer ago than this, such as 2h.",
    ),
]
NewerThan = Annotated[
    timedelta | None,
    typer.Option(
        "--newer-than",
        parser=duration,
        metavar="DURATION",
        help="Those that failed first no longer ago than this.",
    ),
]
ErrorText = Annotated[
    str, typer.Option("--error", metavar="TEXT", help="Those with this text in their error.")
]
Everything = Annotated[bool, typer.Option("--all", help="All dead letters.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def dead_letters(
    *,
    app_: App = None,
    database: Database = None,
    table: OutboxTable = "outbox",
    key: Keys = None,
    type_: Types = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    error: ErrorText = "",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the messages that are tried no more, with the error that stopped each.

    Later messages of the same key wait behind a dead letter. Mend the cause, then redrive it.
    """
    with plain_errors():
        matching = _matching(
            None, key, type_, older_than=older_than, newer_than=newer_than, error=error
        )
        target = Target(app_, database, table)
        asyncio.run(_dead_letters(target, matching, limit, as_json=as_json))


def redrive(
    message_id: MessageIds = None,
    *,
    app_: App = None,
    database: Database = None,
    table: OutboxTable = "outbox",
    key: Keys = None,
    type_: Types = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    error: ErrorText = "",
    everything: Everything = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Have dead letters tried again, as if they had never failed.

    Choose them by id, by --key, --type, --older-than, --newer-than and --error (those that meet
    all), or --all. What waits behind one follows in order once it has been delivered. Safe while
    relays are at work.
    """
    with plain_errors():
        chosen = Selection(
            _matching(
                message_id, key, type_, older_than=older_than, newer_than=newer_than, error=error
            ),
            everything,
        )
        chosen.check()
        target = Target(app_, database, table)
        asyncio.run(_redrive(target, chosen, asks=everything and not yes, as_json=as_json))


def discard(
    message_id: MessageIds = None,
    *,
    app_: App = None,
    database: Database = None,
    table: OutboxTable = "outbox",
    key: Keys = None,
    type_: Types = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    error: ErrorText = "",
    everything: Everything = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove dead letters for good, so that what waits behind them goes on.

    Choose them as for redrive. The messages are never delivered. Redrive them instead when they
    can be delivered at all.
    """
    with plain_errors():
        chosen = Selection(
            _matching(
                message_id, key, type_, older_than=older_than, newer_than=newer_than, error=error
            ),
            everything,
        )
        chosen.check()
        target = Target(app_, database, table)
        asyncio.run(_discard(target, chosen, asks=not yes, as_json=as_json))


def _matching(
    message_ids: list[str] | None,
    keys: list[str] | None,
    types: list[str] | None,
    *,
    older_than: timedelta | None,
    newer_than: timedelta | None,
    error: str,
) -> DeadLetterFilter:
    return DeadLetterFilter(
        message_ids=message_ids or None,
        event_types=types or None,
        partition_keys=keys or None,
        older_than=older_than,
        newer_than=newer_than,
        error=error,
    )


async def _dead_letters(
    target: Target, matching: DeadLetterFilter, limit: int, *, as_json: bool
) -> None:
    async with target.outbox() as outbox:
        letters = await outbox.dead_letters(limit, matching=matching)
        total = await outbox.count_dead_letters(matching)
    if as_json:
        print_json({"dead_letters": [letter_as_data(letter) for letter in letters], "total": total})
    elif letters:
        show_dead_letters(letters)
        say_rest(len(letters), total)
    else:
        say("There are no such dead letters." if matching.narrows else "There are no dead letters.")


async def _redrive(target: Target, chosen: Selection, *, asks: bool, as_json: bool) -> None:
    async with target.outbox() as outbox:
        total = await outbox.count_dead_letters(chosen.matching)
        if asks and total:
            _confirm(f"Redrive all {total:,} dead letters?")
        outcome = await do_to_each(
            "Redriving", outbox, chosen.matching, outbox.redrive, hidden=as_json
        )
    if as_json:
        print_json({"redriven": outcome.done, "missing": outcome.missing})
    else:
        soon = "They are delivered within seconds where a relay is at work."
        say(f"Redriven: {outcome.done:,}. {soon}")
        if outcome.behind:
            say(f"{outcome.behind:,} message(s) waited behind them and follow in order.")
    _complain_of_missing(outcome)


async def _discard(target: Target, chosen: Selection, *, asks: bool, as_json: bool) -> None:
    async with target.outbox() as outbox:
        total = await outbox.count_dead_letters(chosen.matching)
        if asks and total:
            _confirm(f"Remove {total:,} dead letter(s) for good? They are never delivered.")
        outcome = await do_to_each(
            "Discarding", outbox, chosen.matching, outbox.discard, hidden=as_json
        )
    if as_json:
        print_json({"discarded": outcome.done, "missing": outcome.missing})
    else:
        say(f"Discarded: {outcome.done:,}.")
    _complain_of_missing(outcome)


def _confirm(question: str) -> None:
    """Ask; where nobody can answer, the option that answers must be given."""
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody can answer here; add --yes.")
    typer.confirm(question, abort=True, err=True)


def _complain_of_missing(outcome: Outcome) -> None:
    if outcome.missing:
        raise TroubleError(
            f"No dead letters have these ids: {', '.join(outcome.missing)}. They were delivered, "
            "redriven or discarded already, or never were here."
        )
