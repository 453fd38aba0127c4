"""A database that cannot be reached, or is lost: typed errors that say what to do, no waiting."""
# ruff: noqa: PT012 - a unit of work is one step

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text

from cqrs_ddd_core import PersistenceError
from cqrs_ddd_persistence_sqlalchemy import (
    DatabaseUnavailableError,
    DatabaseUrlError,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
    drop_schema,
)
from cqrs_ddd_persistence_sqlalchemy.connecting import bounded

from .bank import Account, BankUnitOfWork, OpenAccount, open_bank
from .conftest import Sql

DRIVERS = ["postgresql+asyncpg", "postgresql+psycopg", "mysql+aiomysql"]


async def _refused(url: str, **options: Any) -> DatabaseUnavailableError:
    """Return what a schema, a read and a commit all say."""
    engine = create_engine(url, **options)
    uow = BankUnitOfWork(create_session_factory(engine))
    messages: set[str] = set()
    with pytest.raises(DatabaseUnavailableError) as refusal:
        await create_schema(engine, BankUnitOfWork)
    messages.add(str(refusal.value))
    with pytest.raises(DatabaseUnavailableError) as refusal:
        await uow.accounts.get("a")
    messages.add(str(refusal.value))
    await uow.close()
    with pytest.raises(DatabaseUnavailableError) as refusal:
        async with BankUnitOfWork(create_session_factory(engine)) as uow:
            await uow.accounts.add(Account(id="a"))
    messages.add(str(refusal.value))
    await engine.dispose()
    assert len(messages) == 1
    assert isinstance(refusal.value, PersistenceError)
    return refusal.value


# -- SQLite's file -----------------------------------------------------------------------------


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    refusal = await _refused(f"sqlite+aiosqlite:///{tmp_path}/nowhere/shop.sqlite")
    assert str(tmp_path / "nowhere" / "shop.sqlite") in str(refusal)
    assert f"Create the folder {tmp_path / 'nowhere'} first." in str(refusal)


async def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    refusal = await _refused(f"sqlite+aiosqlite:///{tmp_path}")
    assert str(tmp_path) in str(refusal)
    assert "It is a folder; name a file in it." in str(refusal)


async def test_a_file_of_another_kind_is_named_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("No database, but a letter. " * 100)
    refusal = await _refused(f"sqlite+aiosqlite:///{file}")
    assert str(file) in str(refusal)
    assert file.read_text() == "No database, but a letter. " * 100


async def test_a_file_that_may_not_be_written_is_named_when_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "shop.sqlite"
    engine = create_engine(f"sqlite+aiosqlite:///{file}")
    await create_schema(engine, BankUnitOfWork)
    await engine.dispose()
    # Root may write everything, so the mode of the file would not do here.
    engine = create_engine(f"sqlite+aiosqlite:///file:{file}?mode=ro&uri=true")
    with pytest.raises(DatabaseUnavailableError, match="may read and write") as refusal:
        async with BankUnitOfWork(create_session_factory(engine)) as uow:
            assert await uow.accounts.get("a") is None
            await uow.accounts.add(Account(id="a"))
    assert str(file) in refusal.value.database
    await engine.dispose()


def test_nothing_is_printed_when_sqlite_cannot_open_its_file(tmp_path: Path) -> None:
    program = (
        "import asyncio\n"
        "from cqrs_ddd_persistence_sqlalchemy import *\n"
        "async def main():\n"
        f"    engine = create_engine('sqlite+aiosqlite:///{tmp_path}/nowhere/shop.sqlite')\n"
        "    try:\n"
        "        await create_schema(engine, SQLAlchemyUnitOfWork)\n"
        "    except DatabaseUnavailableError:\n"
        "        print('refused')\n"
        "for _ in range(50):\n"  # event loops that end right after
        "    asyncio.run(main())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "default", "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("refused\n" * 50, "", 0)


# -- servers -----------------------------------------------------------------------------------


@asynccontextmanager
async def _silent_server() -> AsyncGenerator[int]:
    """A server that accepts connections and never says a word."""
    done = asyncio.Event()

    async def wait(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        done.set()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_server_that_is_away_is_named_without_its_password(driver: str) -> None:
    async with _silent_server() as port:
        pass
    refusal = await _refused(f"{driver}://me:secret@127.0.0.1:{port}/shop")
    assert f"{driver}://me:***@127.0.0.1:{port}/shop" in str(refusal)
    assert "secret" not in str(refusal)
    assert "See that the server runs" in str(refusal)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_an_unknown_host_is_a_typed_error(driver: str) -> None:
    await _refused(f"{driver}://me@no-such-host.invalid/shop")


@pytest.mark.parametrize(
    ("driver", "patience"),
    [
        ("postgresql+asyncpg", {"timeout": 0.05}),
        ("postgresql+psycopg", {"connect_timeout": 2}),  # the least that libpq knows
    ],
)
async def test_a_server_that_never_answers_is_given_up(
    driver: str, patience: dict[str, Any]
) -> None:
    async with _silent_server() as port:
        engine = create_engine(f"{driver}://me@127.0.0.1:{port}/shop", connect_args=patience)
        with pytest.raises(DatabaseUnavailableError):
            await create_schema(engine, BankUnitOfWork)
        await engine.dispose()


async def test_a_mariadb_that_never_answers_is_given_up() -> None:
    async with _silent_server() as port:
        engine = create_engine(
            f"mysql+aiomysql://me@127.0.0.1:{port}/shop",
            connect_args={"async_creator_fn": bounded("aiomysql", 0.05)},
        )
        with pytest.raises(DatabaseUnavailableError):
            await create_schema(engine, BankUnitOfWork)
        await engine.dispose()


async def test_a_database_that_does_not_exist_is_a_typed_error(sql_server: Sql) -> None:
    url = make_url(sql_server.url).set(database="no_such_database")
    refusal = await _refused(url.render_as_string(hide_password=False))
    assert "no_such_database" in refusal.reason


async def test_a_pool_without_a_free_connection_says_so(sql: Sql) -> None:
    engine = create_engine(sql.url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    session_factory = create_session_factory(engine)
    await create_schema(engine, BankUnitOfWork)
    async with BankUnitOfWork(session_factory) as holder:
        await holder.execute(text("SELECT 1"))
        other = BankUnitOfWork(session_factory)
        with pytest.raises(DatabaseUnavailableError, match="All connections are in use"):
            await other.accounts.get("a")
        await other.close()
    await engine.dispose()


# -- URLs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.sqlite",
        "postgresql+asyncpg://me@host:port/shop",
        "oracle+nothing://me@host/shop",
        "postgresql+psycopg2://me@host/shop",
        "sqlite:///shop.sqlite",
    ],
)
def test_a_url_that_leads_nowhere_is_refused_with_examples(url: str) -> None:
    with pytest.raises(DatabaseUrlError, match=r"sqlite\+aiosqlite:///file"):
        create_engine(url)


def test_a_refused_url_does_not_show_its_password() -> None:
    with pytest.raises(DatabaseUrlError) as refusal:
        create_engine("postgresql+asyncpg://me@host:secret/shop")
    assert "secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


# -- a connection that is lost -----------------------------------------------------------------


async def _end_connection(sql: Sql, uow: SQLAlchemyUnitOfWork) -> None:
    """Have the server end the connection that ``uow`` holds."""
    own, end = (
        ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({}, 30000)")
        if sql.is_postgres
        else ("SELECT CONNECTION_ID()", "KILL HARD CONNECTION {}")
    )
    number = (await uow.execute(text(own))).scalar()
    engine = create_engine(sql.url)
    async with engine.begin() as connection:
        await connection.execute(text(end.format(number)))
    await engine.dispose()


async def test_a_connection_lost_before_the_commit_is_a_typed_error(sql_server: Sql) -> None:
    bank = await open_bank(sql_server)
    with pytest.raises(DatabaseUnavailableError):
        async with bank.uow() as uow:
            await uow.accounts.add(Account(id="a"))
            await uow.flush()
            await _end_connection(sql_server, uow)
    assert await bank.balance("a") is None


@pytest.mark.parametrize("then", ["read", "write"])
async def test_a_lost_connection_that_was_caught_keeps_the_commit_from_happening(
    sql_server: Sql, then: str
) -> None:
    bank = await open_bank(sql_server)
    with pytest.raises(PersistenceError):
        async with bank.uow() as uow:
            await uow.accounts.add(Account(id="a"))
            await uow.flush()
            await _end_connection(sql_server, uow)
            with pytest.raises(DatabaseUnavailableError):
                await uow.accounts.get("b")
            if then == "write":
                await uow.accounts.add(Account(id="c"))
    assert (await bank.balance("a"), await bank.balance("c")) == (None, None)


async def test_the_next_command_gets_a_new_connection(sql_server: Sql) -> None:
    bank = await open_bank(sql_server)
    async with bank.uow() as uow:
        await _end_connection(sql_server, uow)
        with pytest.raises(DatabaseUnavailableError):
            await uow.accounts.get("b")
        await uow.rollback()
    await bank.mediator.send(OpenAccount(account_id="a", amount=3))
    assert await bank.balance("a") == 3
    await drop_schema(sql_server.engine, BankUnitOfWork)
