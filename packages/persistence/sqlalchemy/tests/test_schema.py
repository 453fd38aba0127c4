"""Tables are made once, by however many at the same time, and go away again."""

import asyncio
import subprocess
import sys

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, inspect, text
from sqlalchemy.exc import DBAPIError

from cqrs_ddd_core import AggregateRoot, PersistenceError, repository
from cqrs_ddd_persistence_sqlalchemy import (
    MappingError,
    SQLAlchemyIdempotencyStore,
    SQLAlchemyOutboxStorage,
    SQLAlchemyRepository,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
    drop_schema,
    metadata_of,
)
from cqrs_ddd_persistence_sqlalchemy.schema import Source

from .bank import Account, BankUnitOfWork
from .conftest import Sql


class OrderLine(AggregateRoot[str]):
    total: int


class Address(AggregateRoot[str]):
    city: str


class ShopUnitOfWork(BankUnitOfWork):
    lines = repository(OrderLine)
    addresses = repository(Address)


def _sources(sql: Sql) -> list[Source]:
    return [
        ShopUnitOfWork,
        SQLAlchemyOutboxStorage(sql.session_factory, table="outgoing"),
        SQLAlchemyIdempotencyStore(sql.session_factory),
        SQLAlchemyRepository(Account, sql.session_factory, table="closed_accounts"),
        Table("numbers", MetaData(), Column("number", Integer, primary_key=True)),
    ]


_NAMES = {
    "accounts",
    "order_lines",
    "addresses",
    "outgoing",
    "outgoing_blocked",
    "outgoing_parked",
    "outgoing_relays",
    "outgoing_slots",
    "idempotency_keys",
    "closed_accounts",
    "numbers",
}


async def _tables(sql: Sql) -> set[str]:
    async with sql.engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def test_every_source_gets_its_table_and_loses_it_again(sql: Sql) -> None:
    await create_schema(sql.engine, *_sources(sql))
    assert await _tables(sql) == _NAMES
    await drop_schema(sql.engine, *_sources(sql))
    assert await _tables(sql) == set()
    await drop_schema(sql.engine, *_sources(sql))


async def test_it_can_be_called_again_and_leaves_what_is_there(sql: Sql) -> None:
    await create_schema(sql.engine, BankUnitOfWork)
    async with BankUnitOfWork(sql.session_factory) as uow:
        await uow.accounts.add(Account(id="a", balance=3))
    await create_schema(sql.engine, *_sources(sql))
    async with BankUnitOfWork(sql.session_factory) as uow:
        assert (await uow.accounts.require("a")).balance == 3


async def test_dropping_takes_just_the_tables_that_are_named(sql: Sql) -> None:
    await create_schema(sql.engine, *_sources(sql))
    await drop_schema(sql.engine, BankUnitOfWork)
    assert await _tables(sql) == _NAMES - {"accounts"}


@pytest.mark.parametrize("isolation_level", [None, "SERIALIZABLE"])
async def test_many_at_once_make_the_tables_once(sql: Sql, isolation_level: str | None) -> None:
    options = {"isolation_level": isolation_level} if isolation_level else {}
    if sql.is_sqlite:
        options = {}
    engines = [create_engine(sql.url, **options) for _ in range(6)]
    await asyncio.gather(*(create_schema(engine, *_sources(sql)) for engine in engines))
    assert await _tables(sql) == _NAMES
    for engine in engines:
        await engine.dispose()


_CHILD = """
import asyncio, sys
from cqrs_ddd_persistence_sqlalchemy import *

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    for url in sys.argv[1:]:
        engine = create_engine(url)
        await create_schema(engine, SQLAlchemyIdempotencyStore(create_session_factory(engine)))
        await engine.dispose()
    print("done")

asyncio.run(main())
"""


def test_several_processes_make_the_tables_at_once(
    sqlite_url: str, postgres_url: str, mariadb_url: str
) -> None:
    command = [sys.executable, "-c", _CHILD, sqlite_url, postgres_url, mariadb_url]
    pipe = subprocess.PIPE
    children = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [child.communicate(timeout=100) for child in children] == [("done\n", "")] * 3


async def test_a_schema_that_is_refused_is_a_persistence_error(sql: Sql) -> None:
    async with sql.engine.begin() as connection:
        await connection.execute(text("CREATE VIEW accounts AS SELECT 1 AS one"))
    with pytest.raises(PersistenceError, match="could not be dropped") as refusal:
        await drop_schema(sql.engine, BankUnitOfWork)
    assert isinstance(refusal.value.__cause__, DBAPIError)


async def test_a_lock_that_is_never_given_back_is_reported_on_mariadb(
    mariadb_sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cqrs_ddd_persistence_sqlalchemy.schema._PATIENCE", 0)
    async with mariadb_sql.engine.connect() as holder:
        lock = "SELECT GET_LOCK(CONCAT('cqrs_ddd_schema/', MD5(DATABASE())), 0)"
        assert (await holder.execute(text(lock))).scalar() == 1
        with pytest.raises(PersistenceError, match="Another process"):
            await create_schema(mariadb_sql.engine, BankUnitOfWork)
        await holder.execute(text("DO RELEASE_ALL_LOCKS()"))
    await create_schema(mariadb_sql.engine, BankUnitOfWork)


# -- names -------------------------------------------------------------------------------------


def test_two_different_tables_of_one_name_are_refused() -> None:
    other = Table("accounts", MetaData(), Column("id", Integer, primary_key=True))
    with pytest.raises(MappingError, match="Two different tables are called 'accounts'"):
        metadata_of(BankUnitOfWork, other)


def test_two_units_of_work_may_share_a_table() -> None:
    assert set(metadata_of(BankUnitOfWork, ShopUnitOfWork).tables) == {
        "accounts",
        "order_lines",
        "addresses",
    }


def test_tables_can_join_the_metadata_of_an_application() -> None:
    metadata = MetaData()
    Table("own", metadata, Column("id", Integer, primary_key=True))
    assert metadata_of(BankUnitOfWork, metadata=metadata) is metadata
    assert set(metadata_of(BankUnitOfWork, metadata=metadata).tables) == {"own", "accounts"}


def test_what_has_no_tables_is_refused() -> None:
    with pytest.raises(MappingError, match="has no tables"):
        metadata_of(Account)  # pyright: ignore[reportArgumentType]


def test_an_empty_unit_of_work_has_no_tables() -> None:
    assert not metadata_of(SQLAlchemyUnitOfWork).tables


async def test_a_storage_is_made_with_the_session_factory_of_its_engine(sql: Sql) -> None:
    outbox = SQLAlchemyOutboxStorage(create_session_factory(sql.engine), table="mine")
    await create_schema(sql.engine, outbox)
    assert await _tables(sql) == {table.name for table in outbox.tables}
