"""The storage in a SQL database, for ``--database``."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cqrs_ddd_cli.application import IOperableOutbox
from cqrs_ddd_cli.errors import TroubleError, UsageError
from cqrs_ddd_core.ports import IInboxStorage

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

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
    async with _session_factory_for(url) as session_factory:
        from cqrs_ddd_persistence_sqlalchemy import SQLAlchemyOutboxStorage  # noqa: PLC0415

        yield SQLAlchemyOutboxStorage(session_factory, table=table)


@asynccontextmanager
async def inbox_at(url: str, table: str) -> AsyncGenerator[IInboxStorage]:
    """Yield the inbox in the table ``table`` of the database at ``url``."""
    async with _session_factory_for(url) as session_factory:
        from cqrs_ddd_persistence_sqlalchemy import SQLAlchemyInboxStorage  # noqa: PLC0415

        yield SQLAlchemyInboxStorage(session_factory, table=table)


@asynccontextmanager
async def _session_factory_for(url: str) -> "AsyncGenerator[async_sessionmaker[AsyncSession]]":
    """Yield what storages on the database at ``url`` are made with.

    Raises:
        UsageError: the URL is none, or what it needs is not installed.
        TroubleError: it names a SQLite file that does not exist.
    """
    try:
        from sqlalchemy import make_url  # noqa: PLC0415 - an extra
        from sqlalchemy.exc import ArgumentError, InvalidRequestError  # noqa: PLC0415

        from cqrs_ddd_persistence_sqlalchemy import (  # noqa: PLC0415
            create_engine,
            create_session_factory,
        )
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
        raise UsageError(
            f"The driver for this URL is not installed ({error}): {_INSTALL}."
        ) from None
    except (ArgumentError, InvalidRequestError, ValueError):  # whose text may hold the password
        raise UsageError(
            "This is no database URL; write one like sqlite:///shop.sqlite or "
            "postgresql://user:password@host/name."
        ) from None
    try:
        yield create_session_factory(engine)
    finally:
        await engine.dispose()


def _check_file(name: str | None) -> None:
    """Refuse a SQLite file that is not there: to connect would make an empty one."""
    if not name or not (name.startswith("file:") or Path(name).is_file()):
        raise TroubleError(
            f"There is no SQLite file {name or '(in memory)'}. Name the file of your application, "
            "such as sqlite:///shop.sqlite, from the folder that it is in."
        )
