"""Engines set up so that the promises of the unit of work hold on every database."""

import sqlite3
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from cqrs_ddd_core.primitives.errors import PersistenceError
from cqrs_ddd_persistence_sqlalchemy.connecting import (
    bounded,
    new_engine,
    open_file,
    parsed_url,
    unavailable,
)
from cqrs_ddd_persistence_sqlalchemy.sqlite import ToolkitConnection

FAILED = "cqrs_failed_statement"
READ_ONLY = "cqrs_read_only"
_prepared: WeakSet[Engine] = WeakSet()


def create_engine(url: str, **options: Any) -> AsyncEngine:
    """Return an engine for ``url``, ready for units of work.

    SQLite gets write-ahead logging, waits up to 30 seconds for another writer, and takes the write
    lock when a transaction begins, so that it never fails half way. MariaDB and MySQL read what
    is committed, as PostgreSQL does. A server that has not answered after ten seconds is given up.

    Args:
        url: such as ``postgresql+asyncpg://...``, ``mysql+aiomysql://...`` or
            ``sqlite+aiosqlite:///file``.
        **options: passed on to SQLAlchemy's ``create_async_engine``.

    Raises:
        DatabaseUrlError: the URL is none, or names a driver that is not here or is not async.

    Example:
        >>> create_engine("sqlite+aiosqlite:///shop.sqlite").dialect.name
        'sqlite'
    """
    parsed = parsed_url(url)
    backend, driver = parsed.get_backend_name(), parsed.get_driver_name()
    options.setdefault("json_serializer", _json_text)
    options.setdefault("json_deserializer", from_json)
    if backend in {"mysql", "mariadb"}:
        options.setdefault("isolation_level", "READ COMMITTED")
        options.setdefault("pool_recycle", 3600)
    ours = _CONNECT_ARGUMENTS.get(driver, {})
    options["connect_args"] = _together(ours, options.get("connect_args", {}))
    engine = new_engine(parsed, options)
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


_UNUSABLE_FILE = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
}
_PATIENCE = 10  # seconds for a server to accept a connection
_CONNECT_ARGUMENTS: dict[str, dict[str, Any]] = {
    "asyncpg": {"timeout": _PATIENCE, "server_settings": {"timezone": "UTC"}},
    "psycopg": {"connect_timeout": _PATIENCE, "options": "-c timezone=UTC"},
    "aiomysql": {
        "charset": "utf8mb4",
        "init_command": "SET time_zone = '+00:00', sql_mode = 'TRADITIONAL'",
        "async_creator_fn": bounded("aiomysql", _PATIENCE),  # its own is for the socket alone
    },
    "aiosqlite": {
        "factory": ToolkitConnection,
        "timeout": 30,
        "isolation_level": None,
        "async_creator_fn": open_file,
    },
}


def _together(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the user's arguments for the driver on top of ours; settings are put together."""
    both = {**ours, **theirs}
    if "server_settings" in theirs and "server_settings" in ours:
        both["server_settings"] = {**ours["server_settings"], **theirs["server_settings"]}
    if "options" in theirs and "options" in ours:
        both["options"] = f"{ours['options']} {theirs['options']}"
    return both


def _json_text(value: Any) -> str:
    return to_json(value).decode()


def _set_up_sqlite(connection: Any, _: Any) -> None:
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()
    except BaseException:  # a file of another kind; the pool would leave the driver's thread alive
        connection.close()
        raise


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
    if getattr(failure, "sqlite_errorcode", 0) & 0xFF in _UNUSABLE_FILE and context.engine:
        return unavailable(context.engine.url, failure)
    return None
