"""The tables in which projections are remembered."""

from typing import NamedTuple

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, Table

from cqrs_ddd_persistence_sqlalchemy.types import text_type


class ProjectionTables(NamedTuple):
    """The five tables.

    Attributes:
        versions: the versions of each projection; locked by who changes leases or states.
        partitions: the checkpoints, and which lease holds each.
        workers: the leases.
        blocked: keys with an event that failed.
        waiting: the events of those keys, by position.
    """

    versions: Table
    partitions: Table
    workers: Table
    blocked: Table
    waiting: Table


def projection_tables(name: str = "projections") -> ProjectionTables:
    """Return the tables, whose names begin with ``name``."""
    metadata = MetaData()
    return ProjectionTables(
        versions=Table(
            name,
            metadata,
            *_version_key(),
            Column("revision", Integer(), nullable=False),
            Column("partitions", Integer(), nullable=False),
            Column("state", text_type(key=True), nullable=False),
            Column("created_at", Double[float](), nullable=False),  # seconds since 1970
            Column("is_paused", Boolean(), nullable=False),
            Column("error", text_type()),
            Column("effects_after", BigInteger()),
            Column("ends_at", BigInteger()),
            Column("last_epoch", BigInteger(), nullable=False),
        ),
        partitions=Table(
            f"{name}_partitions",
            metadata,
            *_version_key(),
            Column("number", Integer(), primary_key=True, autoincrement=False),
            Column("position", BigInteger(), nullable=False),
            Column("epoch", BigInteger()),
        ),
        workers=Table(
            f"{name}_workers",
            metadata,
            *_version_key(),
            Column("epoch", BigInteger(), primary_key=True, autoincrement=False),
            Column("name", text_type(), nullable=False),
            Column("until", Double[float](), nullable=False),
        ),
        blocked=Table(
            f"{name}_blocked",
            metadata,
            *_version_key(),
            Column("key_digest", text_type(key=True), primary_key=True),
            Column("number", Integer(), nullable=False),
            Column("partition_key", text_type(), nullable=False),
            Column("position", BigInteger(), nullable=False),
            Column("attempts", Integer(), nullable=False),
            Column("due_at", Double[float]()),  # null: parked
            Column("failed_at", Double[float](), nullable=False),
            Column("error", text_type(), nullable=False),
        ),
        waiting=_waiting(name, metadata),
    )


def _waiting(name: str, metadata: MetaData) -> Table:
    table = Table(
        f"{name}_waiting",
        metadata,
        *_version_key(),
        Column("position", BigInteger(), primary_key=True, autoincrement=False),
        Column("key_digest", text_type(key=True), nullable=False),
    )
    columns = table.c
    Index(f"{name}_waiting_key", columns.key_digest, columns.position)
    return table


def _version_key() -> list[Column[object]]:
    return [
        Column("projection", text_type(key=True), primary_key=True),
        Column("version", Integer(), primary_key=True, autoincrement=False),
    ]
