"""Databases of a test session: made once, emptied before each test, dropped at the end."""

import os
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError

from tests.servers.admin import connected
from tests.servers.search import Server

PREFIX = "cqrs_test_"


@dataclass(frozen=True)
class Database:
    """A database of its own on a server.

    Attributes:
        url: where it is, with the driver of the fixtures.
        empty: removes everything in it and ends all other connections to it.
    """

    url: URL
    empty: Callable[[], None]

    def url_for(self, driver: str) -> str:
        """Return its URL for another driver, as text."""
        return self.url.set(drivername=driver).render_as_string(hide_password=False)


@contextmanager
def postgres_database(server: Server) -> Generator[Database]:
    """Yield an empty PostgreSQL database."""
    name = _new_name()
    url = server.url.set(database=name)
    with connected(server.url) as connection:
        _sweep(connection, server, "SELECT datname FROM pg_database")
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    try:
        with connected(url) as inside:
            yield Database(url, lambda: _empty_postgres(inside))
    finally:
        with connected(server.url) as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def mariadb_database(server: Server) -> Generator[Database]:
    """Yield an empty MariaDB database."""
    name = _new_name()
    with connected(server.url) as connection:
        _sweep(connection, server, "SHOW DATABASES")
        _create_mariadb(connection, name)
        try:
            yield Database(server.url.set(database=name), lambda: _empty_mariadb(connection, name))
        finally:
            _drop_mariadb(connection, name)


def _new_name() -> str:
    return f"{PREFIX}{os.getpid()}_{secrets.token_hex(4)}"


def _sweep(connection: Connection, server: Server, names: str) -> None:
    """Drop what sessions left that were killed; those of other machines are not ours to judge."""
    if server.url.host not in {"127.0.0.1", "localhost"}:
        return
    for name in connection.exec_driver_sql(names).scalars().all():
        if name.startswith(PREFIX) and not _is_running(int(name.split("_")[2])):
            with suppress(DBAPIError):  # in use after all, or swept by another session first
                connection.exec_driver_sql(f"DROP DATABASE {name}")


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _empty_postgres(connection: Connection) -> None:
    """Remove all schemas: 5 ms, where a new database takes 50."""
    run = connection.exec_driver_sql
    run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    schemas = run(
        "SELECT quote_ident(nspname) FROM pg_namespace"
        " WHERE nspname NOT IN ('information_schema') AND nspname NOT LIKE 'pg\\_%%'"
    )
    run("SET client_min_messages = warning")
    for schema in schemas.scalars().all():
        run(f"DROP SCHEMA {schema} CASCADE")
    run("CREATE SCHEMA public")


def _empty_mariadb(connection: Connection, name: str) -> None:
    tables = connection.exec_driver_sql(
        "SELECT count(*) FROM information_schema.tables WHERE table_schema = %s", (name,)
    )
    _end_mariadb_connections(connection, name)
    if tables.scalar_one():
        _drop_mariadb(connection, name)
        _create_mariadb(connection, name)


def _create_mariadb(connection: Connection, name: str) -> None:
    connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")


def _drop_mariadb(connection: Connection, name: str) -> None:
    _end_mariadb_connections(connection, name)
    connection.exec_driver_sql(f"DROP DATABASE {name}")


def _end_mariadb_connections(connection: Connection, name: str) -> None:
    """End what a failed test left open: its locks would block the DROP."""
    others = connection.exec_driver_sql(
        "SELECT id FROM information_schema.processlist WHERE db = %s AND id <> connection_id()",
        (name,),
    )
    for other in others.scalars().all():
        with suppress(DBAPIError):  # it has just ended by itself
            connection.exec_driver_sql(f"KILL SOFT CONNECTION {other}")
