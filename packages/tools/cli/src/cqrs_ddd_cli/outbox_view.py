"""What is shown of an outbox."""

from collections.abc import Sequence
from typing import Any

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
    table = Table("", "", "", title="Outbox", show_header=False)
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
    table = Table(title="Dead letters, the longest dead first")
    table.add_column("message", no_wrap=True)
    table.add_column("failing", justify="right", no_wrap=True)
    table.add_column("tries", justify="right")
    table.add_column("behind", justify="right")
    table.add_column("last error", overflow="fold")
    for letter in letters:
        table.add_row(
            name_of(letter.message),
            shown((now - letter.failed_at).total_seconds()),
            str(letter.attempts),
            str(letter.parked_behind),
            short(letter.error),
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


def name_of(message: OutboxMessage) -> Text:
    """Return id, type and key in three lines: an id alone is half as wide as a terminal."""
    lines = [(message.message_id, ""), ("\n" + message.event_type, "bold")]
    if message.partition_key:
        lines.append(("\n" + message.partition_key, "dim"))
    return Text.assemble(*lines)


def age_of(message: OutboxMessage) -> float:
    """Return the seconds since what a message tells of happened."""
    return (utc_now() - message.occurred_at).total_seconds()


def short(error: str) -> Text:
    """Return an error in one line that is not too long for a table."""
    line = " ".join(error.split())
    return Text(line if len(line) <= _LONGEST_ERROR else f"{line[:_LONGEST_ERROR]}…", style="red")
