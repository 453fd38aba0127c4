"""What is shown of sagas."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE, SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cqrs_ddd_advanced_core.sagas import JournalEntry, SagaInstance, SagaOutcome, SagaStatus
from cqrs_ddd_cli.durations import shown
from cqrs_ddd_core.primitives.clock import utc_now

_STYLES = {
    SagaStatus.COMPENSATING: "yellow",
    SagaStatus.SUSPENDED: "magenta",
    SagaStatus.FAILED: "bold red",
    SagaStatus.COMPENSATION_FAILED: "bold red",
    SagaStatus.COMPLETED: "green",
}
_LONGEST = 300


def saga_as_data(saga: SagaInstance) -> dict[str, Any]:
    """Return a saga as data, without its state."""
    return {
        "saga_id": saga.saga_id,
        "saga_type": saga.saga_type,
        "kind": saga.kind.value,
        "key": saga.key,
        "correlation_id": saga.correlation_id,
        "tenant_id": saga.tenant_id,
        "status": saga.status.value,
        "step": saga.step,
        "attempts": saga.attempts,
        "error": saga.error,
        "version": saga.version,
        "definition": saga.definition,
        "worker": saga.worker,
        "lease_until": saga.lease_until and saga.lease_until.isoformat(),
        "wake_at": saga.wake_at and saga.wake_at.isoformat(),
        "created_at": saga.created_at.isoformat(),
        "updated_at": saga.updated_at.isoformat(),
        "finished_at": saga.finished_at and saga.finished_at.isoformat(),
    }


def entry_as_data(entry: JournalEntry) -> dict[str, Any]:
    """Return an entry of a journal as data."""
    return {
        "number": entry.number,
        "at": entry.at.isoformat(),
        "action": entry.action.value,
        "step": entry.step,
        "outcome": entry.outcome.value,
        "attempt": entry.attempt,
        "message_id": entry.message_id,
        "error": entry.error,
    }


def show_sagas(sagas: Sequence[SagaInstance]) -> None:
    """Print sagas as a table."""
    table = Table(title="Sagas", box=SIMPLE_HEAD, expand=True, show_lines=True)
    table.add_column("id, type and key, last error", ratio=1, overflow="fold", min_width=36)
    for column in ("status", "step", "tries", "last moved"):
        table.add_column(column, justify="right", no_wrap=True)
    now = utc_now()
    for saga in sagas:
        table.add_row(
            _about(saga),
            Text(saga.status.value, style=_STYLES.get(saga.status, "")),
            Text(saga.step or ""),
            f"{saga.attempts}",
            f"{shown((now - saga.updated_at).total_seconds())} ago",
        )
    Console().print(table)


def show_saga(saga: SagaInstance, history: Sequence[JournalEntry]) -> None:
    """Print everything about one saga, with the history of its steps."""
    table = Table("", "", box=SIMPLE, show_header=False)
    data = {**saga_as_data(saga), "state": saga.data.decode(errors="replace")}
    for name, value in data.items():
        if value is not None:
            table.add_row(name, Text(str(value)))
    console = Console()
    console.print(table)
    journal = Table(title="History", box=SIMPLE_HEAD, expand=True)
    for column in ("no.", "at", "what", "try"):
        journal.add_column(column, no_wrap=True)
    journal.add_column("how it came out", ratio=1, overflow="fold")
    for entry in history:
        what = f"{entry.action} {entry.step}".strip()
        at = f"{entry.at:%Y-%m-%d %H:%M:%S}"
        journal.add_row(f"{entry.number}", at, Text(what), f"{entry.attempt}", _outcome(entry))
    console.print(journal)


def show_counts(counts: Mapping[str, Mapping[SagaStatus, int]]) -> None:
    """Print how many sagas of each type stand where."""
    statuses = [status for status in SagaStatus if any(status in each for each in counts.values())]
    table = Table(title="Sagas", box=SIMPLE_HEAD)
    table.add_column("type")
    for status in statuses:
        table.add_column(Text(status.value, style=_STYLES.get(status, "")), justify="right")
    for saga_type in sorted(counts):
        numbers = [counts[saga_type].get(status, 0) for status in statuses]
        table.add_row(Text(saga_type), *(f"{number:,}" for number in numbers))
    Console().print(table)


def _about(saga: SagaInstance) -> Text:
    said = Text(f"{saga.saga_id}\n{saga.saga_type}")
    if saga.key is not None:
        said.append(f"  {saga.key}", style="cyan")
    if saga.error is not None:
        said.append(f"\n{_in_a_line(saga.error)}", style="red")
    return said


def _outcome(entry: JournalEntry) -> Text:
    failed = entry.outcome is SagaOutcome.FAILED
    said = Text(entry.outcome.value, style="red" if failed else "")
    if entry.error is not None:
        said.append(f"\n{_in_a_line(entry.error)}", style="red" if failed else "dim")
    return said


def _in_a_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
