"""The tables of an event store: the events, and the feed of all of them."""

from typing import NamedTuple

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    event,
)

from cqrs_ddd_persistence_sqlalchemy.types import UtcDateTime, bytes_type, json_type, text_type

# What waits for a position comes and goes with every append, so it must be vacuumed often.
_VACUUM_OFTEN = DDL(
    "ALTER TABLE %(fullname)s SET (autovacuum_vacuum_scale_factor = 0, "
    "autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)"
)


class EventTables(NamedTuple):
    """The five tables of one event store.

    Attributes:
        events: every event, found by the append that brought it and by its stream.
        pending: appends that have no position yet; empty but for the last moments.
        feed: appends in the order of the feed, each with the position of its first event.
        head: one row, the last position; locked by who gives out positions.
        tags: events with tags by each of these, and once without one; empty where nobody uses tags.
    """

    events: Table
    pending: Table
    feed: Table
    head: Table
    tags: Table


def event_tables(name: str = "events", metadata: MetaData | None = None) -> EventTables:
    """Return the tables of an event store; the names of the others begin with ``name``."""
    metadata = metadata if metadata is not None else MetaData()
    events = Table(
        name,
        metadata,
        Column("append_id", BigInteger(), primary_key=True, autoincrement=False),
        Column("place", Integer(), primary_key=True, autoincrement=False),
        Column("tenant_id", text_type(key=True), nullable=False),
        Column("aggregate_id", text_type(key=True), nullable=False),
        Column("aggregate_type", text_type(key=True), nullable=False),
        Column("version", BigInteger(), nullable=False),
        Column("event_id", text_type(key=True), nullable=False),
        Column("event_type", text_type(key=True), nullable=False),
        Column("schema_version", Integer(), nullable=False),
        Column("payload", bytes_type(), nullable=False),
        Column("occurred_at", UtcDateTime(), nullable=False),
        Column("recorded_at", UtcDateTime(), nullable=False),
        Column("correlation_id", text_type()),
        Column("causation_id", text_type()),
        Column("metadata", json_type()),
        Column("tags", json_type()),
        UniqueConstraint(
            "tenant_id", "aggregate_id", "aggregate_type", "version", name=f"{name}_stream_key"
        ),
        Index(f"{name}_event_id", "event_id"),
    )
    pending = Table(
        f"{name}_pending",
        metadata,
        Column("append_id", BigInteger(), primary_key=True, autoincrement=True),
        Column("size", Integer(), nullable=False),
    )
    vacuum_often = _VACUUM_OFTEN.execute_if(dialect="postgresql")
    event.listen(pending, "after_create", vacuum_often, propagate=True)  # to copies of the table
    feed = Table(
        f"{name}_feed",
        metadata,
        Column("position", BigInteger(), primary_key=True, autoincrement=False),
        Column("append_id", BigInteger(), nullable=False),
        Column("size", Integer(), nullable=False),
    )
    head = Table(
        f"{name}_head",
        metadata,
        Column("id", Integer(), primary_key=True, autoincrement=False),
        Column("position", BigInteger(), nullable=False),
    )
    tags = Table(
        f"{name}_tags",
        metadata,
        Column("tenant_id", text_type(key=True), primary_key=True),
        Column("tag", text_type(key=True), primary_key=True),
        Column("event_type", text_type(key=True), primary_key=True),
        Column("append_id", BigInteger(), primary_key=True, autoincrement=False),
        Column("place", Integer(), primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    return EventTables(events, pending, feed, head, tags)
