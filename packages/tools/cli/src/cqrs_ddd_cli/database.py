"""The storage in a SQL database, for ``--database``."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cqrs_ddd_advanced_core.background_jobs import IBackgroundJobRepository
from cqrs_ddd_advanced_core.sagas import ISagaRepository
from cqrs_ddd_cli.application import IOperableOutbox
from cqrs_ddd_cli.errors import TroubleError, UsageError
from cqrs_ddd_core.ports import IEventStore, IInboxStorage, IProjectionOperations
from cqrs_ddd_core.primitives.error_text import described
from cqrs_ddd_core.primitives.errors import CQRSDDDError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "mysql": "mysql+aiomysql",
    "mariadb": "mariadb+aiomysql",
}
_INSTALL = "pip install 'cqrs-ddd-cli[postgresql]' (or [mysql], [sqlite])"


@asynccontextmanager
async def outbox_at(url: str, table: str) -> AsyncGenerator[IOperableOutbox]:
    """Yield the outbox in the table ``table`` of the database at ``url``."""
    async with _opened(url, table) as (sql, session_factory, tables):
        archive = f"{table}_archive" in tables
        yield sql.SQLAlchemyOutboxStorage(session_factory, table=table, archive=archive)


@asynccontextmanager
async def inbox_at(url: str, table: str) -> AsyncGenerator[IInboxStorage]:
    """Yield the inbox in the table ``table`` of the database at ``url``."""
    async with _opened(url, table) as (sql, session_factory, _):
        yield sql.SQLAlchemyInboxStorage(session_factory, table=table)


@asynccontextmanager
async def jobs_at(url: str, table: str) -> AsyncGenerator[IBackgroundJobRepository]:
    """Yield the jobs or timers in the table ``table`` of the database at ``url``."""
    async with _opened(url, table) as (sql, session_factory, _):
        yield sql.SQLAlchemyBackgroundJobRepository(session_factory, table=table)


@asynccontextmanager
async def sagas_at(url: str, table: str) -> AsyncGenerator[ISagaRepository]:
    """Yield the sagas in the table ``table`` of the database at ``url``."""
    async with _opened(url, table) as (sql, session_factory, _):
        yield sql.SQLAlchemySagaRepository(session_factory, table=table)


@asynccontextmanager
async def events_at(url: str, table: str) -> AsyncGenerator[IEventStore]:
    """Yield the event store in the table ``table`` of the database at ``url``."""
    async with _opened(url, table) as (sql, session_factory, _):
        yield sql.SQLAlchemyEventStore(session_factory, table=table)


@asynccontextmanager
async def projections_at(url: str, table: str) -> AsyncGenerator[IProjectionOperations]:
    """Yield the storage of projections in the table ``table`` of the database at ``url``."""
    async with _opened(url, table) as (sql, session_factory, _):
        yield sql.SQLAlchemyProjectionStorage(session_factory, table=table)


@asynccontextmanager
async def _opened(url: str, table: str) -> AsyncGenerator[tuple[Any, Any, Sequence[str]]]:
    """Yield the package that knows databases, a session factory, and the names of all tables.

    The package is an extra, so it is there only once the engine is.

    Raises:
        TroubleError: there is no such table.
    """
    async with _engine_for(url) as engine:
        sql: Any = import_module("cqrs_ddd_persistence_sqlalchemy")
        tables = await _tables_in(engine)
        _check_table(table, tables)
        yield sql, sql.create_session_factory(engine), tables


@asynccontextmanager
async def _engine_for(url: str) -> "AsyncGenerator[AsyncEngine]":
    """Yield an engine for ``url``, with the driver of its database where it names none.

    Raises:
        UsageError: the URL is none, or what it needs is not installed.
        TroubleError: it names a SQLite file that does not exist.
    """
    try:
        from sqlalchemy import make_url  # noqa: PLC0415 - an extra
        from sqlalchemy.exc import ArgumentError, InvalidRequestError  # noqa: PLC0415

        from cqrs_ddd_persistence_sqlalchemy import create_engine  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            f"--database needs SQLAlchemy and a driver, which are not installed: {_INSTALL}. "
            "Or point --app at your application."
        ) from None
    try:
        parsed = make_url(url)
        target = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
        if target.get_backend_name() == "sqlite":
            _check_file(target.database)
        engine = create_engine(target.render_as_string(hide_password=False))
    except ImportError as error:
        raise UsageError(f"The driver is not installed ({error}): {_INSTALL}.") from None
    except (ArgumentError, InvalidRequestError, ValueError):  # whose text may hold the password
        raise UsageError(
            "This is no database URL; write one like sqlite:///shop.sqlite or "
            "postgresql://user:password@host/name."
        ) from None
    try:
        yield engine
    finally:
        await engine.dispose()


async def _tables_in(engine: "AsyncEngine") -> list[str]:
    """Return the names of the tables that there are.

    Raises:
        TroubleError: the database cannot be reached.
    """
    from sqlalchemy import inspect  # noqa: PLC0415 - an extra

    try:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda plain: inspect(plain).get_table_names())
    except CQRSDDDError:
        raise
    except Exception as error:
        shown = engine.url.render_as_string(hide_password=True)
        cause = getattr(error, "orig", None) or error
        raise TroubleError(
            f"{shown} cannot be reached: {described(cause)}. See that the server runs, and that "
            "user, password, host and database are right."
        ) from error


def _check_table(table: str, tables: Sequence[str]) -> None:
    if table not in tables:
        raise TroubleError(
            f"There is no table {table!r} in this database; there are "
            f"{', '.join(sorted(tables)) or 'none'}. --table names another; your application makes "
            "it with create_schema or a migration."
        )


def _check_file(name: str | None) -> None:
    """Refuse a SQLite file that is not there: to connect would make an empty one."""
    if not name or not (name.startswith("file:") or Path(name).is_file()):
        raise TroubleError(
            f"There is no SQLite file {name or '(in memory)'}. Name the file of your application, "
            "such as sqlite:///shop.sqlite, from the folder that it is in."
        )
