"""When PostgreSQL needs no BEGIN, and that nothing is lost by leaving it out."""
# ruff: noqa: PT012 - a unit of work is one step

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, insert, select, text, update

from cqrs_ddd_core import AggregateRoot, Command, ConcurrencyError, OutboxMessage, repository
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyUnitOfWork,
    create_engine,
    create_session_factory,
)
from cqrs_ddd_persistence_sqlalchemy.mapping import default_mapping

from .bank import Account, Bank, BankUnitOfWork, Deposit, OpenAccount, open_bank
from .cancelling import cancelled_at
from .conftest import Sql
from .statements import watched

ACCOUNTS = default_mapping(Account, "accounts").table
TRANSACTION_ID = select(func.pg_current_xact_id().label("id"))
POSTGRES = ["postgres_url", "postgres_psycopg_url"]


@pytest.fixture(params=POSTGRES)
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


async def _opened(url: str, **options: Any) -> AsyncIterator[Sql]:
    engine = create_engine(url, **options)
    yield Sql(url, engine, create_session_factory(engine))
    await engine.dispose()


@pytest.fixture
async def plain(url: str) -> AsyncIterator[Sql]:
    async for sql in _opened(url):
        yield sql


@pytest.fixture(params=["REPEATABLE READ", "SERIALIZABLE"])
async def isolated(url: str, request: pytest.FixtureRequest) -> AsyncIterator[Sql]:
    async for sql in _opened(url, isolation_level=request.param):
        yield sql


@pytest.fixture
async def single(url: str) -> AsyncIterator[Sql]:
    """A pool of one connection, which everybody gets after everybody else."""
    async for sql in _opened(url, pool_size=1, max_overflow=0, pool_timeout=10):
        yield sql


async def _transactions_of_two_reads(uow: SQLAlchemyUnitOfWork) -> int:
    """Return in how many transactions of the server two reads ran."""
    return len({str((await uow.read(TRANSACTION_ID)).scalar()) for _ in range(2)})


def _message(message_id: str) -> OutboxMessage:
    return OutboxMessage(
        message_id=message_id,
        event_type="test.happened",
        payload=b"{}",
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


class Note(AggregateRoot[str]):
    pass


class AuditedUnitOfWork(BankUnitOfWork):
    notes = repository(Note)


async def _change_beside(sql: Sql) -> None:
    """Have somebody else, on a connection that nobody watches, change the account."""
    engine = create_engine(sql.url)
    async with engine.begin() as connection:
        await connection.execute(update(ACCOUNTS).values(version=2, balance=9))
    await engine.dispose()


# -- when BEGIN is left out --------------------------------------------------------------------


async def test_reads_under_read_committed_need_no_transaction(plain: Sql) -> None:
    async with SQLAlchemyUnitOfWork(plain.session_factory) as uow:
        assert await _transactions_of_two_reads(uow) == 2


async def test_reads_at_other_levels_are_one_transaction(isolated: Sql) -> None:
    async with SQLAlchemyUnitOfWork(isolated.session_factory) as uow:
        assert await _transactions_of_two_reads(uow) == 1


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_a_level_that_the_server_sets_counts_too(url: str, level: str) -> None:
    setting = {"default_transaction_isolation": level}
    arguments: dict[str, Any] = (
        {"server_settings": setting}
        if "asyncpg" in url
        else {"options": f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}"}
    )
    engine = create_engine(url, connect_args=arguments)
    async with SQLAlchemyUnitOfWork(create_session_factory(engine)) as uow:
        assert await _transactions_of_two_reads(uow) == 1
    await engine.dispose()


async def test_who_listens_to_begin_gets_one(url: str) -> None:
    engine = create_engine(url)

    @event.listens_for(engine.sync_engine, "begin")
    def set_tenant(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.exec_driver_sql("SET LOCAL app.tenant = 'acme'")

    async with SQLAlchemyUnitOfWork(create_session_factory(engine)) as uow:
        found = await uow.read(select(func.current_setting("app.tenant", True)))
        assert found.scalar() == "acme"
    await engine.dispose()


async def test_a_statement_of_the_users_own_begins_a_transaction(plain: Sql) -> None:
    async with SQLAlchemyUnitOfWork(plain.session_factory) as uow:
        await uow.execute(text("SET LOCAL app.tenant = 'acme'"))
        assert await _transactions_of_two_reads(uow) == 1
        assert (await uow.read(select(func.current_setting("app.tenant")))).scalar() == "acme"
        await uow.commit()
        assert await _transactions_of_two_reads(uow) == 2


async def test_a_command_that_writes_in_one_statement_sends_no_begin_and_no_commit(
    plain: Sql,
) -> None:
    bank = await open_bank(plain)
    mediator = bank.mediator
    await mediator.send(OpenAccount(account_id="a"))
    with watched(plain.engine) as seen:
        await mediator.send(Deposit(account_id="a"))
    assert (seen.kinds, seen.commits) == (["SELECT", "WITH"], 0)
    assert await bank.balance("a") == 2


async def test_at_other_levels_the_same_command_commits_a_transaction(isolated: Sql) -> None:
    bank = await open_bank(isolated)
    mediator = bank.mediator
    await mediator.send(OpenAccount(account_id="a"))
    with watched(isolated.engine) as seen:
        await mediator.send(Deposit(account_id="a"))
    assert (seen.kinds, seen.commits) == (["SELECT", "WITH"], 1)
    assert await bank.balance("a") == 2


async def test_a_read_between_two_writes_makes_it_a_transaction(plain: Sql) -> None:
    await open_bank(plain)
    with watched(plain.engine) as seen:
        async with BankUnitOfWork(plain.session_factory) as uow:
            await uow.accounts.add(Account(id="a"))
            assert len(await uow.accounts.list_all()) == 1
            await uow.accounts.add(Account(id="b"))
            await uow.flush()
            await uow.rollback()
    assert seen.commits == 0
    async with BankUnitOfWork(plain.session_factory) as uow:
        assert await uow.accounts.list_all() == []


# -- what the levels promise -------------------------------------------------------------------


async def _seen_twice(sql: Sql, bank: Bank) -> tuple[int, int]:
    """Return a balance before and after somebody else has changed it, in one unit of work."""
    total = select(func.sum(ACCOUNTS.c.balance))
    async with BankUnitOfWork(sql.session_factory) as uow:
        before = (await uow.read(total)).scalar_one()
        async with bank.uow() as other:
            (await other.accounts.require("a")).balance += 5
        return int(before), int((await uow.read(total)).scalar_one())


async def test_read_committed_sees_what_others_have_committed(plain: Sql) -> None:
    bank = await open_bank(plain)
    await bank.mediator.send(OpenAccount(account_id="a"))
    assert await _seen_twice(plain, bank) == (1, 6)


async def test_the_other_levels_see_one_state_of_the_database(isolated: Sql) -> None:
    bank = await open_bank(isolated)
    await bank.mediator.send(OpenAccount(account_id="a"))
    assert await _seen_twice(isolated, bank) == (1, 1)


async def test_a_race_lost_at_another_level_names_the_version_expected(isolated: Sql) -> None:
    bank = await open_bank(isolated)
    await bank.mediator.send(OpenAccount(account_id="a"))
    with pytest.raises(ConcurrencyError) as lost:
        async with BankUnitOfWork(isolated.session_factory) as uow:
            account = await uow.accounts.require("a")
            async with bank.uow() as other:
                (await other.accounts.require("a")).balance += 5
            account.balance = 0
    assert (lost.value.target, lost.value.expected) == ("Account 'a'", 1)
    assert await bank.balance("a") == 6


# -- the guard undoes everything ---------------------------------------------------------------


@pytest.mark.parametrize("stale", ["changed", "deleted"])
@pytest.mark.parametrize("first", ["outbox", "aggregate"])
async def test_a_stale_version_leaves_nothing_of_what_was_written_beside_it(
    sql: Sql, first: str, stale: str
) -> None:
    bank = await open_bank(sql)
    async with bank.uow() as uow:
        await uow.accounts.add(Account(id="a", balance=1))
    with pytest.raises(ConcurrencyError) as lost:
        async with BankUnitOfWork(sql.session_factory) as uow:
            account = await uow.accounts.require("a")
            if not sql.is_sqlite:  # where nobody else can write meanwhile
                async with bank.uow() as other:
                    (await other.accounts.require("a")).balance = 7
            else:
                await uow.execute(update(ACCOUNTS).values(version=2, balance=7))
            if first == "outbox":
                await bank.outbox.save_messages([_message("m-1")], uow)
            if stale == "changed":
                account.balance = 2
            else:
                await uow.accounts.delete("a")
            await uow.flush()
            if first == "aggregate":
                await bank.outbox.save_messages([_message("m-1")], uow)
    assert (lost.value.expected, lost.value.actual) == (1, 2)
    assert await bank.outbox.get_pending() == []
    assert await bank.balance("a") == (1 if sql.is_sqlite else 7)


async def test_a_stale_version_undoes_an_insert_and_an_outbox_row_of_the_same_statement(
    plain: Sql,
) -> None:
    bank = await open_bank(plain, tables=(AuditedUnitOfWork,))
    async with bank.uow() as uow:
        await uow.accounts.add(Account(id="a", balance=1))
    with watched(plain.engine) as seen, pytest.raises(ConcurrencyError) as lost:
        async with AuditedUnitOfWork(plain.session_factory) as uow:
            account = await uow.accounts.require("a")
            await _change_beside(plain)
            account.balance = 2
            await uow.notes.add(Note(id="n"))
            await bank.outbox.save_messages([_message("m-1")], uow)
    assert seen.kinds == ["SELECT", "WITH", "SELECT"]
    assert (lost.value.expected, lost.value.actual) == (1, 2)
    assert await bank.outbox.get_pending() == []
    async with AuditedUnitOfWork(plain.session_factory) as uow:
        assert await uow.notes.list_all() == []
    assert await bank.balance("a") == 9


# -- savepoints --------------------------------------------------------------------------------


class Try(Command[None]):
    """Opens an account, then has another command fail and goes on."""

    fails_by: str


async def test_a_nested_command_that_fails_in_a_savepoint_leaves_neither_state_nor_messages(
    sql: Sql,
) -> None:
    bank = await open_bank(sql)

    async def attempt(command: Try, uow: BankUnitOfWork) -> None:
        await mediator.send(OpenAccount(account_id="outer", amount=5))
        with pytest.raises(ConcurrencyError):
            await mediator.send(OpenAccount(account_id=command.fails_by), savepoint=True)
        await mediator.send(Deposit(account_id="outer", amount=2), savepoint=True)

    bank.registry.register_command_handler(Try, attempt)
    mediator = bank.mediator
    await mediator.send(OpenAccount(account_id="taken", amount=1))
    await mediator.send(Try(fails_by="taken"))
    assert (await bank.balance("outer"), await bank.balance("taken")) == (7, 1)
    messages = await bank.outbox.get_pending()
    amounts = [json.loads(message.payload)["amount"] for message in messages]
    assert amounts == [1, 5, 2]


async def test_what_a_savepoint_kept_goes_with_the_transaction(sql: Sql) -> None:
    bank = await open_bank(sql)
    with pytest.raises(ZeroDivisionError):
        async with bank.uow() as uow:
            async with uow.savepoint():
                await uow.accounts.add(Account(id="a"))
                await bank.outbox.save_messages([_message("m-1")], uow)
            raise ZeroDivisionError
    assert await bank.balance("a") is None
    assert await bank.outbox.get_pending() == []


# -- autocommit stays where it is --------------------------------------------------------------


async def _assert_nothing_commits_by_itself(sql: Sql) -> None:
    """Use the pool's connection as anybody might: what is rolled back must be gone."""
    async with sql.engine.connect() as connection:
        assert await connection.get_isolation_level() == "READ COMMITTED"
        await connection.execute(insert(ACCOUNTS).values(id="ghost", balance=0, version=1))
        await connection.rollback()
        found = await connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.id == "ghost"))
        assert found.first() is None


async def test_the_next_user_of_a_connection_gets_no_autocommit(single: Sql) -> None:
    bank = await open_bank(single)
    mediator = bank.mediator
    async with bank.uow() as uow:
        assert await uow.accounts.get("a") is None
    await _assert_nothing_commits_by_itself(single)
    await mediator.send(OpenAccount(account_id="a"))
    await _assert_nothing_commits_by_itself(single)
    with pytest.raises(ConcurrencyError):
        await mediator.send(OpenAccount(account_id="a"))
    await _assert_nothing_commits_by_itself(single)
    with pytest.raises(ConcurrencyError):
        async with bank.uow() as uow:
            account = await uow.accounts.require("a")
            await _change_beside(single)
            account.balance = 3
    await _assert_nothing_commits_by_itself(single)


async def test_a_unit_of_work_that_read_without_begin_can_roll_its_writes_back(
    single: Sql,
) -> None:
    bank = await open_bank(single)
    async with bank.uow() as uow:
        assert await uow.accounts.get("a") is None
        await uow.accounts.add(Account(id="a"))
        await uow.flush()
        await uow.rollback()
    assert await bank.balance("a") is None
    async with bank.uow() as uow:
        assert await uow.accounts.get("a") is None
        (await uow.session()).add_all([])
        await uow.execute(insert(ACCOUNTS).values(id="a", balance=0, version=1))
        await uow.rollback()
    assert await bank.balance("a") is None


async def test_a_cancelled_command_leaves_no_autocommit_behind(single: Sql) -> None:
    bank = await open_bank(single)
    mediator = bank.mediator
    await mediator.send(OpenAccount(account_id="a", amount=0))
    for point in range(1, 100):
        was_reached = await cancelled_at(point, mediator.send(Deposit(account_id="a")))
        await _assert_nothing_commits_by_itself(single)
        if not was_reached:
            break
    else:
        pytest.fail("The command never ran to its end.")
    assert point > 2
