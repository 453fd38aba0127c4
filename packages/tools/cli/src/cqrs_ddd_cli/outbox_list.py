"""The list of what waits in an outbox, with what is known of each message."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from cqrs_ddd_cli.application import IOperableOutbox
from cqrs_ddd_cli.durations import shown
from cqrs_ddd_cli.outbox_view import about, age_of, message_as_data, message_table
from cqrs_ddd_core.ports import DeadLetter, DeadLetterFilter, OutboxMessage, RetryingMessage

State = Literal["waiting", "parked", "retrying", "dead letter"]
_STYLES: dict[State, str] = {"dead letter": "bold red", "retrying": "yellow"}


@dataclass(frozen=True)
class ListedMessage:
    """A message that is not delivered yet.

    Attributes:
        message: the message.
        state: ``parked`` waits behind a failed message of its key.
        attempts: how often it was tried and failed.
        error: what it failed with last.
        retry_in: seconds until it is tried again.
    """

    message: OutboxMessage
    state: State
    attempts: int = 0
    error: str | None = None
    retry_in: float | None = None


async def dead_among(
    messages: Sequence[OutboxMessage], outbox: IOperableOutbox
) -> list[DeadLetter]:
    """Return the dead letters among ``messages``, and those that they wait behind."""
    keys = {message.partition_key for message in messages} - {""}
    alone = [message.message_id for message in messages if not message.partition_key]
    behind = DeadLetterFilter(partition_keys=keys)
    return [
        *await outbox.dead_letters(len(keys), matching=behind),
        *await outbox.dead_letters(len(alone), matching=DeadLetterFilter(message_ids=alone)),
    ]


def entries_of(
    messages: Sequence[OutboxMessage],
    retrying: Sequence[RetryingMessage],
    dead: Sequence[DeadLetter],
) -> list[ListedMessage]:
    """Return ``messages`` with what is known of each."""
    failed: dict[str, ListedMessage] = {}
    for each in (*retrying, *dead):
        is_dead = isinstance(each, DeadLetter)
        failed[each.message.message_id] = ListedMessage(
            each.message,
            "dead letter" if is_dead else "retrying",
            each.attempts,
            each.error,
            None if is_dead else max(0.0, each.retry_in),
        )
    blocked = {entry.message.partition_key for entry in failed.values()} - {""}
    return [
        failed.get(message.message_id)
        or ListedMessage(message, "parked" if message.partition_key in blocked else "waiting")
        for message in messages
    ]


def entry_as_data(entry: ListedMessage) -> dict[str, Any]:
    """Return an entry as data."""
    return {
        **message_as_data(entry.message),
        "state": entry.state,
        "attempts": entry.attempts,
        "error": entry.error,
        "retry_in_seconds": entry.retry_in,
    }


def show_entries(entries: Sequence[ListedMessage]) -> None:
    """Print entries as a table."""
    table = message_table("Not delivered yet, the oldest first", "age", "state", "tries")
    for entry in entries:
        again = "" if entry.retry_in is None else f"\nin {shown(entry.retry_in)}"
        table.add_row(
            about(entry.message, entry.error),
            shown(age_of(entry.message)),
            Text(entry.state + again, style=_STYLES.get(entry.state, "")),
            str(entry.attempts or ""),
        )
    Console().print(table)
