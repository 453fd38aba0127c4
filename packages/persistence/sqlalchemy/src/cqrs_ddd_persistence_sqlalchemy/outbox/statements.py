"""What the outbox's statements need from each database, and nothing else."""

from collections.abc import Collection
from hashlib import blake2b
from typing import Any

from sqlalchemy import (
    Dialect,
    Double,
    Insert,
    Table,
    insert,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class epoch_now(FunctionElement[float]):  # noqa: N801 - a function of SQL
    """The database's time, as seconds since 1970."""

    type = Double[float]()
    inherit_cache = True


@compiles(epoch_now, "postgresql")
def _postgresql_now(*_: Any, **__: Any) -> str:  # pyright: ignore[reportUnusedFunction]
    return "CAST(extract(epoch FROM now()) AS float8)"


@compiles(epoch_now, "mysql")
@compiles(epoch_now, "mariadb")
def _mysql_now(*_: Any, **__: Any) -> str:  # pyright: ignore[reportUnusedFunction]
    return "CAST(UNIX_TIMESTAMP(NOW(6)) AS DOUBLE)"


@compiles(epoch_now, "sqlite")
def _sqlite_now(*_: Any, **__: Any) -> str:  # pyright: ignore[reportUnusedFunction]
    return "((julianday('now') - 2440587.5) * 86400.0)"


def digest_of(order_key: str) -> str:
    """Return what stands for an order key of any length in an index."""
    return blake2b(order_key.encode(), digest_size=16).hexdigest()


def insert_missing(table: Table, dialect: Dialect) -> Insert:
    """Return an INSERT that leaves rows alone that are there already."""
    if dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    if dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return insert(table).prefix_with("IGNORE")


def upsert(table: Table, dialect: Dialect, key: str, columns: Collection[str]) -> Insert:
    """Return an INSERT that replaces ``columns`` of a row whose key is there already."""
    if dialect.name in {"mysql", "mariadb"}:
        statement = mysql.insert(table)
        return statement.on_duplicate_key_update({c: statement.inserted[c] for c in columns})
    factory = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    statement = factory(table)
    return statement.on_conflict_do_update(
        index_elements=[key], set_={c: statement.excluded[c] for c in columns}
    )
