"""What is shown of a broker's dead letters."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from cqrs_ddd_cli.durations import shown
from cqrs_ddd_cli.outbox_view import about, message_table
from cqrs_ddd_core.ports import BrokerDeadLetter
from cqrs_ddd_core.primitives.clock import utc_now


def show_parked(letters: Sequence[BrokerDeadLetter]) -> None:
    """Print dead letters with what is known of them."""
    now = utc_now()
    table = message_table("Dead letters, in the order of each key", "parked", "tries", "bytes")
    for letter in letters:
        since = letter.parked_at
        table.add_row(
            about(letter, letter.error),
            "" if since is None else shown((now - since).total_seconds()),
            str(letter.attempts),
            f"{len(letter.body):,}",
        )
    Console().print(table)


def parked_as_data(letter: BrokerDeadLetter, *, body: bool) -> dict[str, Any]:
    """Return a dead letter as data, with its bytes where they are wanted."""
    data = {
        "message_id": letter.message_id,
        "event_type": letter.event_type,
        "partition_key": letter.partition_key,
        "topic": letter.topic,
        "error": letter.error,
        "attempts": letter.attempts,
        "parked_at": letter.parked_at and letter.parked_at.isoformat(),
        "size_bytes": len(letter.body),
    }
    return {**data, "body_base64": b64encode(letter.body).decode()} if body else data
