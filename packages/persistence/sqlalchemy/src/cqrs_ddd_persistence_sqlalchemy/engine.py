"""Engines set up so that the promises of the unit of work hold on every database."""

from typing import Any
from weakref import WeakSet

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from cqrs_ddd_core.primitives.errors import PersistenceError
from cqrs_ddd_persistence_sqlalchemy.sqlite import ToolkitConnection

FAILED = "cqrs_failed_statement"
READ_ONLY = "cqrs_read_only"
_prepared: WeakSet[Engine] = WeakSet()


def create_engine(url: str, **options: Any) -> AsyncEngine:
    """Return an engine for ``url``, ready for units of work.

    SQLite gets write-ahead logging, waits up to 30 seconds for another writer, and takes the write
    lock when a transaction begins, so that it never fails half way. MariaDB and MySQL read what
    is committed, as PostgreSQL does.

    Args:
        url: such as ``postgresql+asyncpg://...``, ``mysql+aiomysql://...`` or
            ``sqlite+aiosqlite:///file``.
        **options: passed on to SQLAlchemy's ``create_async_engine``.

    Example:
        >>> create_engine("sqlite+aiosqlite:///shop.sqlite").dialect.name
        'sqlite'
    """
    parsed = make_url(url)
    options.setdefault("json_serializer", _json_text)
    options.setdefault("json_deserializer", from_json)
    backend = parsed.get_backend_name()
    if backend in {"mysql", "mariadb"}:
        options.setdefault("isolation_level", "READ COMMITTED")
        options.setdefault("connect_args", {"charset": "utf8mb4", "init_command": _MYSQL_INIT})
        options.setdefault("pool_recycle", 3600)
    if backend == "postgresql":
        options.setdefault("connect_args", _POSTGRESQL_UTC.get(parsed.get_driver_name(), {}))
    if backend == "sqlite":
        arguments = {"factory": ToolkitConnection, "timeout": 30, "isolation_level": None}
        options["connect_args"] = {**arguments, **options.get("connect_args", {})}
    engine = create_async_engine(parsed, **options)
    if backend == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    prepare(engine)
    return engine


def create_session_factory(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Return what units of work and storages on ``engine`` are made with."""
    return async_sessionmaker(engine, expire_on_commit=False)


def prepare(engine: AsyncEngine) -> None:
    """Have the engine remember failed statements, once.

    PostgreSQL answers COMMIT after a failed statement by rolling back without an error. Whoever
    caught the failure would think that everything was saved; the unit of work looks here first.
    """
    if engine.sync_engine not in _prepared:
        _prepared.add(engine.sync_engine)
        event.listen(engine.sync_engine, "handle_error", _remember_failure)


_POSTGRESQL_UTC: dict[str, dict[str, Any]] = {
    "asyncpg": {"server_settings": {"timezone": "UTC"}},
    "psycopg": {"options": "-c timezone=UTC"},
}
_MYSQL_INIT = "SET time_zone = '+00:00', sql_mode = 'TRADITIONAL'"


def _json_text(value: Any) -> str:
    return to_json(value).decode()


def _set_up_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _remember_failure(context: ExceptionContext) -> Exception | None:
    """Note the failure; return what to raise where SQLAlchemy would not know its meaning."""
    failure = context.original_exception
    if context.connection is not None and not context.is_disconnect:
        context.connection.info[FAILED] = failure
    if isinstance(failure, PersistenceError):  # a column type refused a value
        return failure
    if isinstance(failure, UnicodeError | OverflowError):  # the driver did, before the database
        return PersistenceError(f"The database cannot hold a value: {failure}")
    return None
