"""Connections, or the error that says why there is none."""

import asyncio
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from cqrs_ddd_persistence_sqlalchemy.errors import DatabaseUnavailableError, DatabaseUrlError

_LAST_WORDS = 5  # seconds
_URLS = (
    "postgresql+asyncpg://user@host/database, postgresql+psycopg://user@host/database, "
    "mysql+aiomysql://user@host/database or sqlite+aiosqlite:///file"
)


def connect(engine: Engine) -> Connection:
    """Return a connection.

    Raises:
        DatabaseUnavailableError: there is none to be had.
    """
    try:
        return engine.connect()
    except PoolTimeoutError as error:
        raise DatabaseUnavailableError(_name_of(engine.url), str(error), _POOL) from error
    except DBAPIError as error:
        raise unavailable(engine.url, error.orig or error) from error
    except OSError as error:  # asyncpg's, with TimeoutError among them
        raise unavailable(engine.url, error) from error


def unavailable(url: URL, error: BaseException) -> DatabaseUnavailableError:
    """Return the error that says why a database cannot be used, and what to do."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if url.get_backend_name() == "sqlite":
        return DatabaseUnavailableError(_name_of(url), reason, _advice_on_file(url))
    return DatabaseUnavailableError(_name_of(url), reason, _SERVER)


def parsed_url(url: str | URL) -> URL:
    """Return ``url`` in its parts.

    Raises:
        DatabaseUrlError: it is none, or of a database or a driver that nobody knows.
    """
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except NoSuchModuleError as error:
        raise DatabaseUrlError(f"{error}. Write {_URLS}.") from error
    except ImportError as error:
        raise _driver_missing(error) from error
    except (ArgumentError, ValueError):  # whose text may have a password in it
        raise DatabaseUrlError(f"This is no URL of a database. Write {_URLS}.") from None
    return parsed


def new_engine(url: URL, options: dict[str, Any]) -> AsyncEngine:
    """Return an engine for ``url``.

    Raises:
        DatabaseUrlError: it names a driver that is not here or is not async.
    """
    try:
        return create_async_engine(url, **options)
    except ImportError as error:
        raise _driver_missing(error) from error
    except InvalidRequestError as error:
        raise DatabaseUrlError(f"{error} Write {_URLS}.") from error


def _driver_missing(error: ImportError) -> DatabaseUrlError:
    return DatabaseUrlError(
        f"{error}. Install the driver with the package, such as "
        f"'cqrs-ddd-persistence-sqlalchemy[asyncpg]', and write {_URLS}."
    )


def bounded(driver: str, seconds: float) -> Callable[..., Any]:
    """Return what connects by ``driver`` and gives up after ``seconds``, whatever it waits for."""

    async def connect_in_time(*arguments: Any, **options: Any) -> Any:
        async with asyncio.timeout(seconds):
            return await import_module(driver).connect(*arguments, **options)

    return connect_in_time


async def open_file(*arguments: Any, **options: Any) -> Any:
    """Connect by aiosqlite; where that fails, leave no thread of it behind.

    Its thread would still tell an event loop that may be closed by then, and print that it could
    not.
    """
    opening: Any = import_module("aiosqlite").connect(*arguments, **options)
    thread: Thread = getattr(opening, "_thread", opening)  # before 0.22 it was the thread itself
    thread.daemon = True
    try:
        return await opening
    except BaseException:
        thread.join(_LAST_WORDS)  # it has been told to stop, and waits for nobody
        raise


def _advice_on_file(url: URL) -> str:
    """Return what to do about a SQLite file that cannot be used."""
    file = _file_of(url)
    if file.is_dir():
        return "It is a folder; name a file in it."
    if not file.parent.is_dir():
        return f"Create the folder {file.parent} first."
    return "Name a SQLite file that this process may read and write, in a folder it may write to."


def _name_of(url: URL) -> str:
    """Return a URL to be shown: a file as a path, a server without its password."""
    if url.get_backend_name() == "sqlite":
        return f"The SQLite file {_file_of(url)}"
    return f"The database {url.render_as_string(hide_password=True)}"


def _file_of(url: URL) -> Path:
    return Path((url.database or "").removeprefix("file:")).absolute()


_SERVER = "See that the server runs and that the URL names it, the user and the database rightly."
_POOL = (
    "All connections are in use. Keep units of work short, or give create_engine(url, "
    "pool_size=..., max_overflow=...)."
)
