"""``cqrs-ddd broker``: what the consumers of a broker have parked, and what to do about it."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from cqrs_ddd_cli.broker_view import parked_as_data, show_parked
from cqrs_ddd_cli.errors import TroubleError, UsageError, plain_errors
from cqrs_ddd_cli.options import Everything, Limit, MessageIds, Yes
from cqrs_ddd_cli.output import AsJson, confirm, print_json, say, say_rest
from cqrs_ddd_cli.target import opened_dead_letters

app = typer.Typer(
    help="Look after what consumers of a broker could not handle.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Consumer = Annotated[
    str,
    typer.Option(
        "--consumer",
        metavar="MODULE:ATTRIBUTE",
        envvar="CQRS_DDD_CONSUMER",
        show_envvar=True,
        help="The consumer that parked them, or a function that gives it.",
    ),
]


@app.command("dead-letters")
def dead_letters(
    *,
    consumer: Consumer,
    limit: Limit = 50,
    bodies: Annotated[
        bool, typer.Option("--bodies", help="With --json: their bytes too, in base 64.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the messages that a consumer has parked, with the error that stopped each.

    While the list is made, the broker may hide them from others.
    """
    with plain_errors():
        asyncio.run(_dead_letters(consumer, limit, bodies=bodies, as_json=as_json))


@app.command()
def redrive(
    message_id: MessageIds = None,
    *,
    consumer: Consumer,
    everything: Everything = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to the queue or topic they came from, as if they had never failed.

    They come behind what waits there. Each is removed once it is confirmed; who stops this half
    way may send one twice, which an inbox notices. Safe while consumers are at work.
    """
    with plain_errors():
        if bool(message_id) == everything:
            raise UsageError("Say which dead letters: by message id, or --all (one of them).")
        ids = None if everything else message_id
        asyncio.run(_redrive(consumer, ids, asks=everything and not yes, as_json=as_json))


@app.command()
def discard(
    message_id: Annotated[list[str], typer.Argument(metavar="MESSAGE_ID")],
    *,
    consumer: Consumer,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove dead letters for good: they are never handled."""
    with plain_errors():
        asyncio.run(_discard(consumer, message_id, asks=not yes, as_json=as_json))


async def _dead_letters(consumer: str, limit: int, *, bodies: bool, as_json: bool) -> None:
    async with opened_dead_letters(consumer) as letters:
        total = await letters.count()
        shown = await letters.dead_letters(limit)
    total = max(total, len(shown))  # some brokers only estimate
    if as_json:
        data = [parked_as_data(letter, body=bodies) for letter in shown]
        print_json({"dead_letters": data, "total": total})
    elif shown:
        show_parked(shown)
        say_rest(len(shown), total)
    else:
        say("There are no dead letters.")


async def _redrive(
    consumer: str, message_ids: Sequence[str] | None, *, asks: bool, as_json: bool
) -> None:
    async with opened_dead_letters(consumer) as letters:
        total = await letters.count() if message_ids is None else 0
        if asks and total:
            confirm(f"Redrive all {total} dead letters?")
        done = await letters.redrive(message_ids)
    missing = _missing(message_ids or (), done)
    if as_json:
        print_json({"redriven": len(done), "missing": missing})
    else:
        say(f"Redriven: {len(done)}. They are handled where the consumer is at work.")
        if total > len(done):
            say(f"About {total - len(done)} are left: run the command again.")
    _complain_of(missing)


async def _discard(consumer: str, message_ids: Sequence[str], *, asks: bool, as_json: bool) -> None:
    async with opened_dead_letters(consumer) as letters:
        if asks:
            confirm(f"Remove {len(message_ids)} dead letter(s) for good? They are never handled.")
        done = await letters.discard(message_ids)
    missing = _missing(message_ids, done)
    if as_json:
        print_json({"discarded": len(done), "missing": missing})
    else:
        say(f"Discarded: {len(done)}.")
    _complain_of(missing)


def _missing(message_ids: Sequence[str], done: Sequence[str]) -> list[str]:
    found = frozenset(done)
    return [message_id for message_id in message_ids if message_id not in found]


def _complain_of(missing: Sequence[str]) -> None:
    if missing:
        raise TroubleError(
            f"No dead letters have these ids: {', '.join(missing)}. They were redriven or "
            "discarded already, somebody else looks at them right now, or they never were here."
        )
