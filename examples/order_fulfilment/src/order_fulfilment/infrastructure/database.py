"""The shop on a SQL database."""

import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from cqrs_ddd_core import CQRSDDDError
from cqrs_ddd_persistence_sqlalchemy import create_engine
from order_fulfilment.application import Application, build_application
from order_fulfilment.infrastructure.stores import open_stores

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "mysql": "mysql+aiomysql",
    "mariadb": "mariadb+aiomysql",
}


class DatabaseUnreachableError(CQRSDDDError):
    """The database cannot be used."""


@asynccontextmanager
async def open_shop(
    url: str, *, event_sourced: bool = False, **options: Any
) -> AsyncGenerator[Application]:
    """Open the database at ``url``, make its tables if need be, and yield the shop on it.

    Args:
        url: as a user types it.
        event_sourced: whether cancellations are kept as their events, not as rows.
        **options: of ``build_application``.

    Raises:
        DatabaseUnreachableError: that did not work.
    """
    target = async_url(url)
    with _unreachable(target):
        _check_sqlite(make_url(target))
        engine = create_engine(target)
    try:
        with _unreachable(target):
            stores = await open_stores(engine, event_sourced=event_sourced)
        yield await build_application(stores, **options)
    finally:
        await engine.dispose()


def _check_sqlite(url: URL) -> None:
    """Try a SQLite file before aiosqlite does, whose thread fails with a traceback."""
    if url.get_backend_name() == "sqlite" and url.database and not url.query:
        with closing(sqlite3.connect(url.database)) as connection:
            connection.execute("PRAGMA schema_version")


@contextmanager
def _unreachable(url: str) -> Generator[None]:
    """Say in the shop's words that a database cannot be used; drivers have many ways to."""
    try:
        yield
    except Exception as error:
        shown = make_url(url).render_as_string(hide_password=True)
        cause = getattr(error, "orig", None) or error
        raise DatabaseUnreachableError(f"{shown} cannot be used: {cause}") from error


def async_url(url: str) -> str:
    """Return ``url`` with the asynchronous driver of its database, unless it names a driver.

    Example:
        >>> async_url("postgresql://shop@localhost/shop")
        'postgresql+asyncpg://shop@localhost/shop'
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise DatabaseUnreachableError(
            "This is no database URL; write one like sqlite:///shop.sqlite or "
            "postgresql://user:password@host/name."
        ) from None
    name = parsed.drivername
    if "+" not in name and name not in _DRIVERS:
        raise DatabaseUnreachableError(
            f"There is no database {name!r}; there are {', '.join(_DRIVERS)}."
        )
    return parsed.set(drivername=_DRIVERS.get(name, name)).render_as_string(hide_password=False)
