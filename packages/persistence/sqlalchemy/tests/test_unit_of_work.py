"""One transaction: who shares it, what makes it fail, and that it gives its connection back."""
# ruff: noqa: PT012 - a unit of work is one step

import asyncio
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import QueuePool

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    ConcurrencyError,
    PersistenceError,
    Query,
    RetryMiddleware,
    RetryPolicy,
    repository,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyUnitOfWork,
    UniqueViolationError,
    create_engine,
    create_schema,
    create_session_factory,
)
from cqrs_ddd_persistence_sqlalchemy.mapping import default_mapping

from .bank import Account, BankUnitOfWork, Deposit, OpenAccount, open_bank
from .cancelling import cancelled_at
from .conftest import Sql

ACCOUNTS = default_mapping(Account, "accounts").table


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    words: Mapped[str] = mapped_column(String(50))


def _in_use(engine: AsyncEngine) -> int:
    pool = engine.sync_engine.pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


async def _fail(uow: SQLAlchemyUnitOfWork) -> None:
    """Run a statement that fails, and catch the error."""
    with pytest.raises(DBAPIError):
        await uow.execute(text("SELECT * FROM no_such_table"))


async def _balances(sql: Sql) -> dict[str, int]:
    async with BankUnitOfWork(sql.session_factory) as uow:
        return {account.id: account.balance for account in await uow.accounts.list_all()}


# -- one transaction ---------------------------------------------------------------------------


async def test_statements_streams_and_sessions_share_the_transaction(sql: Sql) -> None:
    await create_schema(sql.engine, BankUnitOfWork)
    async with BankUnitOfWork(sql.session_factory) as uow:
        await uow.execute(insert(ACCOUNTS).values(id="a", balance=1, version=1))
        session = await uow.session()
        assert await session.scalar(select(ACCOUNTS.c.balance)) == 1
        await session.execute(insert(ACCOUNTS).values(id="b", balance=2, version=1))
        found = await uow.stream(select(ACCOUNTS.c.id).order_by(ACCOUNTS.c.id))
        assert [row.id async for row in found] == ["a", "b"]
        await (await uow.connection()).execute(update(ACCOUNTS).values(balance=3))
        assert (await uow.accounts.require("a")).balance == 3
        await uow.rollback()
    assert await _balances(sql) == {}


async def test_a_read_sees_the_writes_that_waited(sql: Sql) -> None:
    await create_schema(sql.engine, BankUnitOfWork)
    async with BankUnitOfWork(sql.session_factory) as uow:
        await uow.accounts.add(Account(id="a", balance=5))
        await uow.flush()
        assert (await uow.execute(select(func.sum(ACCOUNTS.c.balance)))).scalar() == 5
        (await uow.accounts.require("a")).balance = 6
        await uow.flush()
        assert await (await uow.session()).scalar(select(ACCOUNTS.c.balance)) == 6


async def test_what_the_session_holds_is_saved_with_the_commit(sql: Sql) -> None:
    await create_schema(sql.engine, BankUnitOfWork, Note.metadata.tables["notes"])
    async with BankUnitOfWork(sql.session_factory) as uow:
        (await uow.session()).add(Note(id=1, words="hello"))
        await uow.accounts.add(Account(id="a"))
    async with BankUnitOfWork(sql.session_factory) as uow:
        note = await (await uow.session()).get_one(Note, 1)
        assert note.words == "hello"
        note.words = "never"
        await uow.rollback()
    async with BankUnitOfWork(sql.session_factory) as uow:
        assert (await (await uow.session()).get_one(Note, 1)).words == "hello"


async def test_a_session_can_be_used_on_after_a_commit(sql: Sql) -> None:
    await create_schema(sql.engine, BankUnitOfWork, Note.metadata.tables["notes"])
    async with BankUnitOfWork(sql.session_factory) as uow:
        session = await uow.session()
        session.add(Note(id=1, words="first"))
        await uow.commit()
        session = await uow.session()
        session.add(Note(id=2, words="second"))
        await uow.commit()
        await uow.rollback()
        (await uow.session()).add(Note(id=3, words="third"))
    async with BankUnitOfWork(sql.session_factory) as uow:
        notes = await (await uow.session()).scalars(select(Note.id).order_by(Note.id))
        assert notes.all() == [1, 2, 3]


# -- failed statements -------------------------------------------------------------------------


async def test_a_failed_statement_makes_the_commit_fail_although_it_was_caught(sql: Sql) -> None:
    await create_schema(sql.engine, BankUnitOfWork)
    with pytest.raises(PersistenceError, match=r"uow\.savepoint\(\)"):
        async with BankUnitOfWork(sql.session_factory) as uow:
            await uow.accounts.add(Account(id="a"))
            await _fail(uow)
    assert await _balances(sql) == {}
    assert _in_use(sql.engine) == 0


async def test_a_failed_statement_of_the_session_makes_the_commit_fail(sql: Sql) -> None:
    await create_schema(sql.engine, BankUnitOfWork)
    with pytest.raises(PersistenceError):
        async with BankUnitOfWork(sql.session_factory) as uow:
            await uow.accounts.add(Account(id="a"))
            session = await uow.session()
            with pytest.raises(DBAPIError):
                await session.execute(text("SELECT * FROM no_such_table"))
    assert await _balances(sql) == {}


async def test_a_statement_may_fail_inside_a_savepoint(sql: Sql) -> None:
    await create_schema(sql.engine, BankUnitOfWork)
    async with BankUnitOfWork(sql.session_factory) as uow:
        await uow.accounts.add(Account(id="a"))
        with pytest.raises(DBAPIError):
            async with uow.savepoint():
                await uow.accounts.add(Account(id="b"))
                await uow.execute(text("SELECT * FROM no_such_table"))
    assert await _balances(sql) == {"a": 0}


async def test_a_savepoint_does_not_forgive_a_failure_before_it(sql: Sql) -> None:
    await create_schema(sql.engine, BankUnitOfWork)
    with pytest.raises((PersistenceError, DBAPIError)):
        async with BankUnitOfWork(sql.session_factory) as uow:
            await uow.accounts.add(Account(id="a"))
            await _fail(uow)
            with pytest.raises((ValueError, DBAPIError)):
                async with uow.savepoint():
                    raise ValueError
    assert await _balances(sql) == {}


@pytest.mark.parametrize("lent", [False, True], ids=["", "with the connection lent"])
async def test_a_rollback_forgives_a_failed_statement(sql: Sql, lent: bool) -> None:
    await create_schema(sql.engine, BankUnitOfWork)
    async with BankUnitOfWork(sql.session_factory) as uow:
        if lent:
            await uow.connection()
        await _fail(uow)
        await uow.rollback()
        await uow.accounts.add(Account(id="a"))
    assert await _balances(sql) == {"a": 0}


async def test_a_refused_commit_cannot_be_repeated_without_a_rollback(sql: Sql) -> None:
    await create_schema(sql.engine, BankUnitOfWork)
    async with BankUnitOfWork(sql.session_factory) as uow:
        await uow.accounts.add(Account(id="a"))
        await uow.accounts.add(Account(id="b"))
    async with BankUnitOfWork(sql.session_factory) as uow:
        for account in await uow.accounts.list_all():
            account.balance = 1
        await uow.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == "b").values(version=7))
        with pytest.raises(ConcurrencyError):
            await uow.commit()
        with pytest.raises(PersistenceError):
            await uow.commit()
        await uow.rollback()
    assert await _balances(sql) == {"a": 0, "b": 0}


async def test_the_next_user_of_a_connection_is_not_blamed(sql: Sql) -> None:
    await create_schema(sql.engine, BankUnitOfWork)
    uow = BankUnitOfWork(sql.session_factory)
    await _fail(uow)
    await uow.close()
    async with BankUnitOfWork(sql.session_factory) as following:
        await following.accounts.add(Account(id="a"))
    assert await _balances(sql) == {"a": 0}


# -- connections -------------------------------------------------------------------------------


@pytest.mark.parametrize("lent", [False, True], ids=["", "with a session"])
async def test_a_connection_is_given_back_however_the_transaction_ends(
    sql: Sql, lent: bool
) -> None:
    await create_schema(sql.engine, BankUnitOfWork)
    async with BankUnitOfWork(sql.session_factory) as uow:
        if lent:
            await uow.session()
        await uow.accounts.add(Account(id="a"))
    assert _in_use(sql.engine) == 0
    with pytest.raises(ZeroDivisionError):
        async with BankUnitOfWork(sql.session_factory) as uow:
            if lent:
                await uow.session()
            await uow.accounts.require("a")
            raise ZeroDivisionError
    assert _in_use(sql.engine) == 0
    with pytest.raises(ConcurrencyError):
        async with BankUnitOfWork(sql.session_factory) as uow:
            if lent:
                await uow.session()
            await uow.accounts.add(Account(id="a"))
    assert _in_use(sql.engine) == 0


async def test_no_connection_is_held_between_two_transactions(sql: Sql) -> None:
    await create_schema(sql.engine, BankUnitOfWork)
    async with BankUnitOfWork(sql.session_factory) as uow:
        assert _in_use(sql.engine) == 0
        await uow.accounts.add(Account(id="a"))
        assert _in_use(sql.engine) == 0
        await uow.flush()
        assert _in_use(sql.engine) == 1
        await uow.commit()
        assert _in_use(sql.engine) == 0
        (await uow.accounts.require("a")).balance = 1
        await uow.rollback()
        assert _in_use(sql.engine) == 0


async def test_a_command_cancelled_anywhere_is_done_or_undone_and_holds_no_connection(
    sql: Sql,
) -> None:
    bank = await open_bank(sql)
    mediator = bank.mediator
    await mediator.send(OpenAccount(account_id="a", amount=0))
    before, saved = 0, 1
    for point in range(1, 200):
        was_reached = await cancelled_at(point, mediator.send(Deposit(account_id="a")))
        assert _in_use(sql.engine) == 0
        balance, messages = await bank.balance("a"), len(await bank.outbox.get_pending(1000))
        assert balance in {before, before + 1}
        assert messages - saved == balance - before
        before, saved = balance, messages
        if not was_reached:
            break
    else:
        pytest.fail("The command never ran to its end.")
    assert point > 2
    assert before >= 1


# -- engines -----------------------------------------------------------------------------------


async def test_an_engine_of_the_users_own_keeps_the_promises_on_servers(sql_server: Sql) -> None:
    engine = create_async_engine(sql_server.url)
    session_factory = async_sessionmaker(engine)
    await create_schema(engine, BankUnitOfWork)
    async with BankUnitOfWork(session_factory) as uow:
        await uow.accounts.add(Account(id="a"))
    with pytest.raises(PersistenceError):
        async with BankUnitOfWork(session_factory) as uow:
            (await uow.accounts.require("a")).balance = 1
            await _fail(uow)
    assert await _balances(sql_server) == {"a": 0}
    assert _in_use(engine) == 0
    await engine.dispose()


async def test_a_session_factory_without_an_engine_is_refused() -> None:
    uow = BankUnitOfWork(async_sessionmaker(class_=AsyncSession))
    with pytest.raises(PersistenceError, match="bound to no engine"):
        await uow.execute(select(1))


class Balance(Query[int]):
    account_id: str


async def balance_of(query: Balance, uow: BankUnitOfWork) -> int:
    return (await uow.accounts.require(query.account_id)).balance


async def test_a_query_on_sqlite_does_not_wait_for_a_writer(sqlite_sql: Sql) -> None:
    bank = await open_bank(sqlite_sql)
    bank.registry.register_query_handler(Balance, balance_of)
    mediator = bank.mediator
    await mediator.send(OpenAccount(account_id="a", amount=1))
    async with bank.uow() as writer:
        (await writer.accounts.require("a")).balance = 2
        await writer.flush()
        response = await asyncio.create_task(mediator.query(Balance(account_id="a")))
        assert response.result == 1
    assert (await mediator.query(Balance(account_id="a"))).result == 2


# -- what the database refuses -----------------------------------------------------------------


class Owner(AggregateRoot[str]):
    email: str
    age: int = 18
    parent: str | None = None


OWNERS = Table(
    "owners",
    MetaData(),
    Column("id", String(20), primary_key=True),
    Column("email", String(50), nullable=False),
    Column("age", BigInteger, nullable=False),
    Column("parent", String(20), ForeignKey("owners.id")),
    Column("version", BigInteger, nullable=False),
    UniqueConstraint("email"),
    CheckConstraint("age >= 18", name="of_age"),
)


class OwnerUnitOfWork(SQLAlchemyUnitOfWork):
    owners = repository(Owner, table=OWNERS)


async def test_a_value_that_is_taken_is_a_unique_violation(sql: Sql) -> None:
    await create_schema(sql.engine, OwnerUnitOfWork)
    async with OwnerUnitOfWork(sql.session_factory) as uow:
        await uow.owners.add(Owner(id="o-1", email="a@example.org"))
        await uow.owners.add(Owner(id="o-2", email="b@example.org"))
    with pytest.raises(UniqueViolationError) as refusal:
        async with OwnerUnitOfWork(sql.session_factory) as uow:
            await uow.owners.add(Owner(id="o-3", email="a@example.org"))
    assert refusal.value.table == "owners"
    with pytest.raises(UniqueViolationError):
        async with OwnerUnitOfWork(sql.session_factory) as uow:
            (await uow.owners.require("o-2")).email = "a@example.org"


async def test_an_id_that_is_taken_is_a_lost_race(sql: Sql) -> None:
    await create_schema(sql.engine, OwnerUnitOfWork)
    async with OwnerUnitOfWork(sql.session_factory) as uow:
        await uow.owners.add(Owner(id="o-1", email="a@example.org"))
    with pytest.raises(ConcurrencyError, match="'o-1'"):
        async with OwnerUnitOfWork(sql.session_factory) as uow:
            await uow.owners.add(Owner(id="o-1", email="b@example.org"))


@pytest.mark.parametrize(
    "owner",
    [Owner(id="o-1", email="a", parent="nobody"), Owner(id="o-1", email="a", age=17)],
    ids=["foreign key", "check"],
)
async def test_a_broken_rule_of_the_table_is_a_persistence_error(sql: Sql, owner: Owner) -> None:
    await create_schema(sql.engine, OwnerUnitOfWork)
    with pytest.raises(PersistenceError, match="Owner 'o-1'") as refusal:
        async with OwnerUnitOfWork(sql.session_factory) as uow:
            await uow.owners.add(owner)
    assert type(refusal.value) is PersistenceError


# -- lost races --------------------------------------------------------------------------------


class Move(Command[None]):
    source: str
    target: str


class Crossing:
    """Handles moves so that the first attempts of two of them meet half way."""

    def __init__(self) -> None:
        self.attempts = 0
        self._meeting = asyncio.Barrier(2)

    async def meet(self) -> None:
        self.attempts += 1
        if self.attempts <= 2:
            await self._meeting.wait()

    async def lock_one_after_the_other(self, command: Move, uow: BankUnitOfWork) -> None:
        (await uow.accounts.require(command.source)).deposit(-1)
        await uow.flush()
        await self.meet()
        (await uow.accounts.require(command.target)).deposit(1)
        await uow.flush()

    async def decide_by_what_both_read(self, command: Move, uow: BankUnitOfWork) -> None:
        total = sum(account.balance for account in await uow.accounts.list_all())
        await self.meet()
        (await uow.accounts.require(command.source)).deposit(total)


async def _move_both_ways(
    sql: Sql, crossing: Crossing, handler: Any, *middleware: RetryMiddleware
) -> list[Any]:
    bank = await open_bank(sql, *middleware)
    bank.registry.register_command_handler(Move, handler)
    mediator = bank.mediator
    for account_id in ("a", "b"):
        await mediator.send(OpenAccount(account_id=account_id, amount=10))
    moves = [Move(source="a", target="b"), Move(source="b", target="a")]
    tasks = [asyncio.create_task(mediator.send(move)) for move in moves]
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_deadlock_is_a_lost_race(sql_server: Sql) -> None:
    crossing = Crossing()
    results = await _move_both_ways(sql_server, crossing, crossing.lock_one_after_the_other)
    assert sum(isinstance(result, ConcurrencyError) for result in results) == 1
    assert _in_use(sql_server.engine) == 0


async def test_a_command_that_was_the_victim_of_a_deadlock_is_repeated(sql_server: Sql) -> None:
    crossing = Crossing()
    results = await _move_both_ways(
        sql_server, crossing, crossing.lock_one_after_the_other, RetryMiddleware()
    )
    assert not [result for result in results if isinstance(result, BaseException)]
    assert crossing.attempts >= 3
    assert await _balances(sql_server) == {"a": 10, "b": 10}


@pytest.mark.parametrize("retries", [False, True])
async def test_a_serialization_failure_is_a_lost_race(sql_server: Sql, retries: bool) -> None:
    engine = create_engine(sql_server.url, isolation_level="SERIALIZABLE")
    serializable = Sql(sql_server.url, engine, create_session_factory(engine))
    crossing = Crossing()
    middleware = [RetryMiddleware(RetryPolicy(max_attempts=10))] if retries else []
    results = await _move_both_ways(
        serializable, crossing, crossing.decide_by_what_both_read, *middleware
    )
    lost = [result for result in results if isinstance(result, BaseException)]
    if retries:
        assert not lost
        assert sorted((await _balances(serializable)).values()) == [30, 50]
    else:
        assert [type(error) for error in lost] == [ConcurrencyError]
    await engine.dispose()
