"""What is shown of an outbox."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE, SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cqrs_ddd_cli.durations import shown
from cqrs_ddd_core.ports import DeadLetter, OutboxMessage, OutboxStatistics
from cqrs_ddd_core.primitives.clock import utc_now


def troubles_of(statistics: OutboxStatistics, max_age: float | None) -> list[str]:
    """Return what is wrong with an outbox, a sentence each; nothing when all is well."""
    troubles: list[str] = []
    if statistics.dead_letters:
        troubles.append(
            f"{statistics.dead_letters} dead letter(s): `cqrs-ddd outbox dead-letters` shows why."
        )
    if statistics.waiting > statistics.parked and not statistics.relays:
        troubles.append("Messages wait and no relay is at work: start one.")
    age = statistics.oldest_age
    if max_age is not None and age is not None and age > max_age:
        troubles.append(
            f"The oldest message waits for {shown(age)}, longer than {shown(max_age)}: see whether "
            "the broker is away, or start more relays."
        )
    return troubles


def show_statistics(statistics: OutboxStatistics, troubles: Sequence[str]) -> None:
    """Print how an outbox stands."""
    age = statistics.oldest_age
    rows = [
        ("waiting", statistics.waiting, "" if age is None else f"the oldest for {shown(age)}"),
        ("parked", statistics.parked, "of these, behind a failed message of their key"),
        ("retrying", statistics.retrying, "keys whose first message is tried again"),
        ("dead letters", statistics.dead_letters, "keys that stand still until redriven"),
        ("archived", statistics.archived, "delivered and kept"),
        ("relays", statistics.relays, "at work"),
    ]
    table = Table("", "", "", title="Outbox", box=SIMPLE, show_header=False)
    table.columns[1].justify = "right"
    for name, count, meaning in rows:
        style = "bold red" if name == "dead letters" and count else ""
        table.add_row(name, Text(f"{count:,}", style=style), Text(meaning, style="dim"))
    console = Console()
    console.print(table)
    for trouble in troubles:
        console.print(Text(trouble, style="red"), soft_wrap=True)


def show_dead_letters(letters: Sequence[DeadLetter]) -> None:
    """Print dead letters with what is known of them."""
    now = utc_now()
    table = message_table("Dead letters, the oldest message first", "failing", "tries", "behind")
    for letter in letters:
        table.add_row(
            about(letter.message, letter.error),
            shown((now - letter.failed_at).total_seconds()),
            str(letter.attempts),
            str(letter.parked_behind),
        )
    Console().print(table)


def message_as_data(message: OutboxMessage) -> dict[str, Any]:
    """Return a message as data, without its payload."""
    return {
        "message_id": message.message_id,
        "event_type": message.event_type,
        "partition_key": message.partition_key,
        "tenant_id": message.tenant_id,
        "correlation_id": message.correlation_id,
        "occurred_at": message.occurred_at.isoformat(),
        "age_seconds": age_of(message),
    }


def letter_as_data(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as data."""
    return {
        **message_as_data(letter.message),
        "failed_at": letter.failed_at.isoformat(),
        "attempts": letter.attempts,
        "parked_behind": letter.parked_behind,
        "error": letter.error,
    }


def statistics_as_data(statistics: OutboxStatistics, troubles: Sequence[str]) -> dict[str, Any]:
    """Return how an outbox stands, as data."""
    return {
        "waiting": statistics.waiting,
        "parked": statistics.parked,
        "retrying": statistics.retrying,
        "dead_letters": statistics.dead_letters,
        "archived": statistics.archived,
        "oldest_age_seconds": statistics.oldest_age,
        "relays": statistics.relays,
        "troubles": list(troubles),
    }


_LONGEST_ERROR = 300


def message_table(title: str, *figures: str) -> Table:
    """Return a table of messages; the error gets the widest column, below the message it is of."""
    table = Table(title=title, box=SIMPLE_HEAD, expand=True, show_lines=True)
    table.add_column("message, type and key, last error", ratio=1, overflow="fold", min_width=36)
    for figure in figures:
        table.add_column(figure, justify="right", no_wrap=True)
    return table


def about(message: OutboxMessage, error: str | None) -> Text:
    """Return what a message is: its id, its type and key, and its last error."""
    said = Text(f"{message.message_id}\n{message.event_type}")
    if message.partition_key:
        said.append(f"  {message.partition_key}", style="cyan")
    if error is not None:
        line = " ".join(error.split())
        cut = line if len(line) <= _LONGEST_ERROR else f"{line[:_LONGEST_ERROR]}…"
        said.append(f"\n{cut}", style="red")
    return said


def age_of(message: OutboxMessage) -> float:
    """Return the seconds since what a message tells of happened."""
    return (utc_now() - message.occurred_at).total_seconds()
