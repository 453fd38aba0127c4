"""The tables of sagas and of their journals, and both as rows."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    RowMapping,
    Table,
    UniqueConstraint,
    text,
)

from cqrs_ddd_advanced_core.sagas import (
    JournalEntry,
    SagaAction,
    SagaInstance,
    SagaKind,
    SagaOutcome,
    SagaStatus,
)
from cqrs_ddd_persistence_sqlalchemy.types import UtcDateTime, bytes_type, text_type

_SECONDS = ("wake_at", "lease_until")  # compared with the database's clock
_CODED = {"kind", "status", "tenant_id", *_SECONDS}
_PLAIN = tuple(name for name in SagaInstance.__dataclass_fields__ if name not in _CODED)
_ENTRY = tuple(JournalEntry.__dataclass_fields__)


def saga_table(name: str) -> Table:
    """Return the table of sagas called ``name``; a saga of no tenant has the tenant ``''``."""
    return Table(
        name,
        MetaData(),
        Column("saga_id", text_type(key=True), primary_key=True),
        Column("saga_type", text_type(key=True), nullable=False),
        Column("kind", text_type(key=True), nullable=False),
        Column("key", text_type(key=True)),
        Column("correlation_id", text_type(key=True)),
        Column("tenant_id", text_type(key=True), nullable=False),
        Column("status", text_type(key=True), nullable=False),
        Column("version", BigInteger(), nullable=False),
        Column("definition", text_type(), nullable=False),
        Column("step", text_type()),
        Column("data", bytes_type(), nullable=False),
        Column("entries", Integer(), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("error", text_type()),
        Column("wake_at", Double[float]()),
        Column("worker", text_type()),
        Column("epoch", BigInteger(), nullable=False),
        Column("lease_until", Double[float]()),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("updated_at", UtcDateTime(), nullable=False),
        Column("finished_at", UtcDateTime()),
        UniqueConstraint("saga_type", "key", "tenant_id", name=f"{name}_key"),
        Index(f"{name}_begun", "created_at", "saga_id"),
        Index(f"{name}_status", "status", "created_at"),
        Index(f"{name}_correlation", "correlation_id"),
        *(_index_of_some(name, column) for column in ("wake_at", "lease_until", "finished_at")),
    )


def _index_of_some(table: str, column: str) -> Index:
    """Return an index of the rows that have a value, where the database has such indexes."""
    where = text(f"{column} IS NOT NULL")
    return Index(f"{table}_{column}", column, postgresql_where=where, sqlite_where=where)


def journal_table(name: str) -> Table:
    """Return the table of journals called ``name``."""
    return Table(
        name,
        MetaData(),
        Column("saga_id", text_type(key=True), primary_key=True),
        Column("number", Integer(), primary_key=True, autoincrement=False),
        Column("action", text_type(key=True), nullable=False),
        Column("outcome", text_type(key=True), nullable=False),
        Column("step", text_type(), nullable=False),
        Column("attempt", Integer(), nullable=False),
        Column("message_id", text_type(key=True)),
        Column("data", bytes_type()),
        Column("error", text_type()),
        Column("at", UtcDateTime(), nullable=False),
        Index(f"{name}_message", "saga_id", "message_id"),
    )


def row_of(saga: SagaInstance) -> dict[str, Any]:
    """Return a saga as a row."""
    row: dict[str, Any] = {name: getattr(saga, name) for name in _PLAIN}
    for name in _SECONDS:
        moment: datetime | None = getattr(saga, name)
        row[name] = None if moment is None else moment.timestamp()
    row["kind"], row["status"] = saga.kind.value, saga.status.value
    row["tenant_id"] = saga.tenant_id or ""
    return row


def saga_of(row: RowMapping) -> SagaInstance:
    """Return the saga that a row holds."""
    values: dict[str, Any] = {name: row[name] for name in _PLAIN}
    for name in _SECONDS:
        seconds: float | None = row[name]
        values[name] = None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return SagaInstance(
        **values,
        kind=SagaKind(row["kind"]),
        status=SagaStatus(row["status"]),
        tenant_id=row["tenant_id"] or None,
    )


def entry_row(saga_id: str, entry: JournalEntry) -> dict[str, Any]:
    """Return an entry of a saga's journal as a row."""
    row: dict[str, Any] = {name: getattr(entry, name) for name in _ENTRY}
    return row | {
        "saga_id": saga_id,
        "action": entry.action.value,
        "outcome": entry.outcome.value,
    }


def entry_of(row: RowMapping) -> JournalEntry:
    """Return the entry that a row holds."""
    values: dict[str, Any] = {name: row[name] for name in _ENTRY}
    values |= {"action": SagaAction(row["action"]), "outcome": SagaOutcome(row["outcome"])}
    return JournalEntry(**values)
