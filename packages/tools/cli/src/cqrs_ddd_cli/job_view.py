"""What is shown of jobs and timers."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE, SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cqrs_ddd_advanced_core.background_jobs import Job, JobStatistics, JobStatus
from cqrs_ddd_cli.durations import shown
from cqrs_ddd_core.primitives.clock import utc_now

_STYLES = {JobStatus.FAILED: "bold red", JobStatus.RUNNING: "green", JobStatus.CANCELLED: "dim"}
_LONGEST_ERROR = 300


def job_as_data(job: Job) -> dict[str, Any]:
    """Return a job as data, without its payload."""
    again = job.recurrence
    return {
        "job_id": job.job_id,
        "job_type": job.job_type,
        "queue": job.queue,
        "priority": job.priority,
        "key": job.key,
        "description": job.description,
        "status": job.status.value,
        "due_at": job.due_at.isoformat(),
        "cron": None if again is None else again.cron,
        "timezone": None if again is None else again.timezone,
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "worker": job.worker,
        "cancel_requested": job.cancel_requested,
        "progress": job.progress,
        "progress_note": job.progress_note,
        "error": job.error,
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at and job.started_at.isoformat(),
        "finished_at": job.finished_at and job.finished_at.isoformat(),
    }


def statistics_as_data(statistics: JobStatistics) -> dict[str, Any]:
    """Return how the jobs stand, as data."""
    return {
        "pending": statistics.pending,
        "due": statistics.due,
        "retrying": statistics.retrying,
        "running": statistics.running,
        "completed": statistics.completed,
        "failed": statistics.failed,
        "cancelled": statistics.cancelled,
        "oldest_due_age_seconds": statistics.oldest_due_age,
        "queues": dict(statistics.queues),
    }


def show_jobs(title: str, jobs: Sequence[Job]) -> None:
    """Print jobs as a table."""
    table = Table(title=title, box=SIMPLE_HEAD, expand=True, show_lines=True)
    table.add_column("id, type and key, last error", ratio=1, overflow="fold", min_width=36)
    for column in ("queue", "status", "tries", "when"):
        table.add_column(column, justify="right", no_wrap=True)
    for job in jobs:
        status = job.status.value + (" (to stop)" if job.cancel_requested else "")
        table.add_row(
            _about(job),
            job.queue,
            Text(status, style=_STYLES.get(job.status, "")),
            f"{job.attempts} of {job.max_attempts}",
            _when(job),
        )
    Console().print(table)


def show_job(job: Job) -> None:
    """Print everything about one job."""
    table = Table("", "", box=SIMPLE, show_header=False)
    data = {**job_as_data(job), "payload": _decoded(job.data), "result": _decoded(job.result_data)}
    for name, value in data.items():
        if value is not None:
            table.add_row(name, Text(str(value)))
    Console().print(table)


def show_statistics(statistics: JobStatistics) -> None:
    """Print how the jobs stand."""
    age = statistics.oldest_due_age
    rows = [
        ("pending", statistics.pending, f"{statistics.due:,} due, {statistics.retrying:,} retried"),
        ("running", statistics.running, "with a worker"),
        ("completed", statistics.completed, "kept until they are purged"),
        ("failed", statistics.failed, "until retried"),
        ("cancelled", statistics.cancelled, ""),
    ]
    table = Table("", "", "", title="Jobs", box=SIMPLE, show_header=False)
    table.columns[1].justify = "right"
    for name, count, meaning in rows:
        style = "bold red" if name == "failed" and count else ""
        table.add_row(name, Text(f"{count:,}", style=style), Text(meaning, style="dim"))
    console = Console()
    console.print(table)
    if age is not None:
        console.print(f"The oldest due job has waited for {shown(age)}.")
    for queue, count in sorted(statistics.queues.items()):
        console.print(Text(f"{queue}: {count:,} unfinished"))


def _about(job: Job) -> Text:
    said = Text(f"{job.job_id}\n{job.job_type}")
    if job.key is not None:
        said.append(f"  {job.key}", style="cyan")
    if job.recurrence is not None:
        said.append(f"\n{job.recurrence.cron} {job.recurrence.timezone}", style="magenta")
    if job.progress is not None:
        said.append(f"\n{job.progress:.0%} {job.progress_note or ''}".rstrip(), style="green")
    if job.error is not None:
        line = " ".join(job.error.split())
        cut = line if len(line) <= _LONGEST_ERROR else f"{line[:_LONGEST_ERROR]}…"
        said.append(f"\n{cut}", style="red")
    return said


def _when(job: Job) -> str:
    if job.finished_at is not None:
        return f"{shown((utc_now() - job.finished_at).total_seconds())} ago"
    seconds = (job.due_at - utc_now()).total_seconds()
    return f"in {shown(seconds)}" if seconds > 0 else f"{shown(-seconds)} late"


def _decoded(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="replace")
