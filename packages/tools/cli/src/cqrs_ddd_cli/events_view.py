"""What is shown of events."""

import json
from collections.abc import Mapping
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cqrs_ddd_cli.output import say
from cqrs_ddd_core.ports import StoredEvent


def print_event(event: StoredEvent, *, as_json: bool) -> None:
    """Print an event in a line."""
    if as_json:
        typer.echo(json.dumps(event_as_data(event), ensure_ascii=False))
        return
    when = event.recorded_at or event.occurred_at
    place = f"{event.position:>8}  " if event.position else ""
    payload = json.dumps(_payload(event), ensure_ascii=False)
    say(
        f"{place}{when:%Y-%m-%d %H:%M:%S}  {event.stream} v{event.version}  {event.event_type}  "
        f"{payload}"
    )


def event_as_data(event: StoredEvent) -> dict[str, Any]:
    """Return an event as data."""
    return {
        "position": event.position or None,
        "stream": str(event.stream),
        "version": event.version,
        "event_id": event.event_id,
        "event_type": event.event_type,
        "schema_version": event.schema_version,
        "occurred_at": event.occurred_at.isoformat(),
        "recorded_at": event.recorded_at.isoformat() if event.recorded_at else None,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "metadata": dict(event.metadata),
        "payload": _payload(event),
    }


def show_counts(data: Mapping[str, Any]) -> None:
    """Print how many events of which types there are."""
    say(f"The feed ends at position {data['latest_position']:,}.")
    if not data["counted"]:
        return
    say(
        f"{data['counted']:,} events of {data['streams']:,} streams were counted, recorded from "
        f"{data['first_recorded_at']} to {data['last_recorded_at']}."
    )
    table = Table(box=SIMPLE_HEAD)
    table.add_column("type", overflow="fold")
    table.add_column("events", justify="right")
    for name, count in data["types"].items():
        table.add_row(name, f"{count:,}")
    Console().print(table)


def _payload(event: StoredEvent) -> Any:
    """Return the payload; where it is no JSON, how long it is."""
    try:
        return json.loads(event.payload)
    except ValueError:
        return f"({len(event.payload):,} bytes that are no JSON)"
