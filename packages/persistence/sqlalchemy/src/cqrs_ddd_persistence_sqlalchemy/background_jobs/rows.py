"""The table of jobs, and jobs as its rows."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    RowMapping,
    Table,
    text,
)

from cqrs_ddd_advanced_core.background_jobs import CatchUp, Job, JobStatus, Recurrence
from cqrs_ddd_persistence_sqlalchemy.types import bytes_type, json_type, text_type

_TIMES = ("created_at", "due_at", "occurs_at", "lease_until", "started_at", "finished_at")
_PLAIN = tuple(
    name
    for name in Job.__dataclass_fields__
    if name not in {*_TIMES, "status", "recurrence", "priority"}
)


def job_table(name: str) -> Table:
    """Return the table of jobs called ``name``; times are seconds since 1970.

    ``active_key`` is the key of an unfinished job, and null once it has finished. ``rank`` is the
    priority turned round, so that one index gives the order of claims. The other index finds the
    few that are due among very many that are not.
    """
    return Table(
        name,
        MetaData(),
        Column("job_id", text_type(key=True), primary_key=True),
        Column("job_type", text_type(key=True), nullable=False),
        Column("queue", text_type(key=True), nullable=False),
        Column("status", text_type(key=True), nullable=False),
        Column("rank", Integer(), nullable=False),
        Column("due_at", Double[float](), nullable=False),
        Column("occurs_at", Double[float](), nullable=False),
        Column("key", text_type(key=True)),
        Column("active_key", text_type(key=True), unique=True),
        Column("data", bytes_type(), nullable=False),
        Column("description", text_type()),
        Column("recurrence", json_type()),
        Column("correlation_id", text_type()),
        Column("causation_id", text_type()),
        Column("max_attempts", Integer(), nullable=False),
        Column("timeout", Double[float]()),
        Column("attempts", Integer(), nullable=False),
        Column("epoch", BigInteger(), nullable=False),
        Column("worker", text_type()),
        Column("lease_until", Double[float]()),
        Column("cancel_requested", Boolean(), nullable=False),
        Column("progress", Double[float]()),
        Column("progress_note", text_type()),
        Column("result_data", bytes_type()),
        Column("error", text_type()),
        Column("created_at", Double[float](), nullable=False),
        Column("started_at", Double[float]()),
        Column("finished_at", Double[float]()),
        _index(
            f"{name}_order", "status = 'pending'", "queue", "status", "rank", "due_at", "job_id"
        ),
        _index(f"{name}_due", "status = 'pending'", "status", "queue", "due_at"),
        _index(f"{name}_lease", "status = 'running'", "status", "lease_until"),
        _index(f"{name}_finished", "finished_at IS NOT NULL", "finished_at"),
    )


def _index(name: str, condition: str, *columns: str) -> Index:
    """Return an index of the rows it is for alone, where the database has such ones."""
    where = text(condition)
    return Index(name, *columns, postgresql_where=where, sqlite_where=where)


def row_of(job: Job) -> dict[str, Any]:
    """Return a job as a row."""
    row: dict[str, Any] = {name: getattr(job, name) for name in _PLAIN}
    for name in _TIMES:
        moment: datetime | None = getattr(job, name)
        row[name] = None if moment is None else moment.timestamp()
    row["occurs_at"] = job.occurrence.timestamp()
    row["status"] = job.status.value
    row["rank"] = -job.priority
    row["active_key"] = None if job.status.is_final else job.key
    again = job.recurrence
    row["recurrence"] = again and {
        "cron": again.cron,
        "timezone": again.timezone,
        "catch_up": again.catch_up.value,
    }
    return row


def job_of(row: RowMapping) -> Job:
    """Return the job that a row holds."""
    values: dict[str, Any] = {name: row[name] for name in _PLAIN}
    values |= {name: moment_of(row[name]) for name in _TIMES}
    again: dict[str, Any] | None = row["recurrence"]
    if again is not None:
        values["recurrence"] = Recurrence(
            cron=again["cron"], timezone=again["timezone"], catch_up=CatchUp(again["catch_up"])
        )
    return Job(**values, status=JobStatus(row["status"]), priority=-row["rank"])


def moment_of(seconds: float | None) -> datetime | None:
    """Return a time as it is written in a row."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
