"""How many statements a save is, in which order rows are written, and what the database refuses."""
# ruff: noqa: PT012 - a unit of work is one step

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from cqrs_ddd_core import (
    AggregateRoot,
    ConcurrencyError,
    OutboxMessage,
    PersistenceError,
    repository,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyOutboxStorage,
    SQLAlchemyUnitOfWork,
    UniqueViolationError,
    create_schema,
)
from cqrs_ddd_persistence_sqlalchemy.mapping import default_mapping
from cqrs_ddd_persistence_sqlalchemy.writes import Template, Write
from cqrs_ddd_specifications import AttributeSpecification, Operator

from .bank import Account, BankUnitOfWork, Deposit, OpenAccount, open_bank
from .conftest import Sql, opened
from .statements import watched

ACCOUNTS = default_mapping(Account, "accounts").table
MANY = 10_000
_numbers = count(1)


def _messages(number: int) -> list[OutboxMessage]:
    return [
        OutboxMessage(
            message_id=f"m-{next(_numbers)}",
            event_type="test.happened",
            payload=b"{}",
            occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for _ in range(number)
    ]


@pytest.fixture(params=["postgres_url", "postgres_psycopg_url"])
async def postgres(request: pytest.FixtureRequest) -> Any:
    async with opened(request.getfixturevalue(request.param)) as found:
        yield found


# -- one statement -----------------------------------------------------------------------------


async def test_an_aggregate_and_an_outbox_row_are_one_statement_on_postgresql(
    postgres: Sql,
) -> None:
    bank = await open_bank(postgres)
    mediator = bank.mediator
    with watched(postgres.engine) as opening:
        await mediator.send(OpenAccount(account_id="a"))
    with watched(postgres.engine) as changing:
        await mediator.send(Deposit(account_id="a"))
    assert (opening.kinds, changing.kinds) == (["WITH"], ["SELECT", "WITH"])
    assert len(await bank.outbox.get_pending()) == 2


async def test_the_same_command_is_one_transaction_elsewhere(sql: Sql) -> None:
    if sql.is_postgres:
        pytest.skip("one statement there")
    bank = await open_bank(sql)
    mediator = bank.mediator
    with watched(sql.engine) as opening:
        await mediator.send(OpenAccount(account_id="a"))
    assert opening.kinds[-2:] == ["INSERT", "INSERT"]
    assert opening.commits == 1


async def test_a_deletion_goes_with_the_others(postgres: Sql) -> None:
    bank = await open_bank(postgres)
    await bank.mediator.send(OpenAccount(account_id="a"))
    with watched(postgres.engine) as seen:
        async with bank.uow() as uow:
            await uow.accounts.delete("a")
            await bank.outbox.save_messages(_messages(1), uow)
    assert (seen.kinds, seen.commits) == (["SELECT", "WITH"], 0)
    assert await bank.balance("a") is None


async def test_a_save_of_nothing_asks_nothing(sql: Sql) -> None:
    bank = await open_bank(sql)
    with watched(sql.engine) as seen:
        async with bank.uow():
            pass
    assert (seen.statements, seen.commits) == ([], 0)


# -- many rows ---------------------------------------------------------------------------------


async def test_ten_thousand_aggregates_and_messages_go_in_one_transaction(sql: Sql) -> None:
    bank = await open_bank(sql)
    async with bank.uow() as uow:
        for number in range(MANY):
            await uow.accounts.add(Account(id=f"a-{number:05}", balance=number))
        await bank.outbox.save_messages(_messages(MANY), uow)
    outbox = bank.outbox.tables[0]
    async with bank.uow() as uow:
        assert await (await uow.accounts.search()).total_count() == MANY
        found = (await uow.execute(select(outbox.c.message_id).order_by(outbox.c.id))).scalars()
        numbers = [int(message_id.removeprefix("m-")) for message_id in found]
        assert (len(numbers), numbers) == (MANY, sorted(numbers))


async def test_ten_thousand_aggregates_are_found_by_their_ids(sql: Sql) -> None:
    bank = await open_bank(sql)
    ids = [f"a-{number:05}" for number in range(MANY)]
    async with bank.uow() as uow:
        for account_id in ids:
            await uow.accounts.add(Account(id=account_id))
    async with bank.uow() as uow:
        assert len(await uow.accounts.list_all([*ids, *ids, "nobody"])) == MANY


_BY_ID = [f"a-{balance}" for balance in range(2, 33_001)]
_BY_BALANCE = list(range(2, 33_001))


@pytest.mark.parametrize(("attr", "values"), [("id", _BY_ID), ("balance", _BY_BALANCE)])
async def test_more_values_than_a_statement_has_parameters_can_be_asked_for(
    sql: Sql, attr: str, values: list[Any]
) -> None:
    bank = await open_bank(sql)
    async with bank.uow() as uow:
        for balance in (1, 2, 33_000, 33_001):
            await uow.accounts.add(Account(id=f"a-{balance}", balance=balance))
    if sql.is_mariadb:  # whose driver writes the values into the text: it is slow, not limited
        values = values[-3_000:] + values[:1]
    among = AttributeSpecification(attr, Operator.IN, values)
    async with bank.uow() as uow:
        found = await (await uow.accounts.search(among))
        others = await (await uow.accounts.search(~among))
    assert sorted(account.balance for account in found) == [2, 33_000]
    assert sorted(account.balance for account in others) == [1, 33_001]


async def test_one_stale_version_among_many_undoes_them_all(sql: Sql) -> None:
    bank = await open_bank(sql)
    async with bank.uow() as uow:
        for number in range(100):
            await uow.accounts.add(Account(id=f"a-{number}"))
    table = ACCOUNTS
    with pytest.raises(ConcurrencyError) as lost:
        async with bank.uow() as uow:
            accounts = await uow.accounts.list_all()
            stale = table.update().where(table.c.id == "a-57").values(version=9)
            await uow.execute(stale)
            for account in accounts:
                account.balance = 1
            await bank.outbox.save_messages(_messages(3), uow)
    assert (lost.value.target, lost.value.expected, lost.value.actual) == ("Account 'a-57'", 1, 9)
    async with bank.uow() as uow:
        assert {account.balance for account in await uow.accounts.list_all()} == {0}
    assert await bank.outbox.get_pending() == []


# -- order -------------------------------------------------------------------------------------


async def test_writes_of_one_row_keep_their_order(sql: Sql) -> None:
    bank = await open_bank(sql)
    async with bank.uow() as uow:
        account = Account(id="a", balance=1)
        await uow.accounts.add(account)
        await uow.flush()
        account.balance = 2
        await uow.flush()
        account.balance = 3
    async with bank.uow() as uow:
        account = await uow.accounts.require("a")
        assert (account.balance, account.version) == (3, 3)


async def test_waiting_writes_of_one_row_do_not_share_a_statement(sql: Sql) -> None:
    bank = await open_bank(sql)
    insert = Template(ACCOUNTS, "insert", ("id", "balance", "version"))
    update = Template(ACCOUNTS, "update", ("balance",), ("id", "balance"))
    delete = Template(ACCOUNTS, "delete", (), ("id", "balance"))

    def refused(error: DBAPIError) -> Exception:
        return error

    def missed(_: Connection) -> None:
        pytest.fail("A write came before the one it is made on.")

    async with bank.uow() as uow:
        for name in ("a", "b"):
            row = {"id": name, "balance": 1, "version": 1}
            uow.write(Write(insert, [row], refused))
            row = {"balance": 2, "key_id": name, "key_balance": 1}
            uow.write(Write(update, [row], refused, missed))
        uow.write(Write(delete, [{"key_id": "a", "key_balance": 2}], refused, missed))
    async with bank.uow() as uow:
        assert [(found.id, found.balance) for found in await uow.accounts.list_all()] == [("b", 2)]


async def test_two_tables_objects_of_one_name_are_one_table(postgres: Sql) -> None:
    first = SQLAlchemyOutboxStorage(postgres.session_factory)
    second = SQLAlchemyOutboxStorage(postgres.session_factory)
    await create_schema(postgres.engine, BankUnitOfWork, first)
    with watched(postgres.engine) as seen:
        async with BankUnitOfWork(postgres.session_factory) as uow:
            await first.save_messages(_messages(1), uow)
            await second.save_messages(_messages(1), uow)
    assert seen.kinds == ["INSERT", "INSERT"]
    assert len(await first.get_pending()) == 2


# -- tables of the user's own ------------------------------------------------------------------


class Base(DeclarativeBase):
    pass


class InvoiceRow(Base):
    __tablename__ = "invoices"
    id: Mapped[str] = mapped_column(String(20), primary_key=True)
    total: Mapped[int]
    version: Mapped[int]
    changes: Mapped[int] = mapped_column(default=lambda: 10, onupdate=lambda: 11)


class PaymentRow(Base):
    __tablename__ = "payments"
    id: Mapped[str] = mapped_column(String(20), primary_key=True)
    total: Mapped[int]
    version: Mapped[int]
    changes: Mapped[int] = mapped_column(default=lambda: 20, onupdate=lambda: 21)


class Invoice(AggregateRoot[str]):
    total: int


class Payment(AggregateRoot[str]):
    total: int


class LedgerUnitOfWork(SQLAlchemyUnitOfWork):
    invoices = repository(Invoice, table=InvoiceRow)
    payments = repository(Payment, table=PaymentRow)


async def _changes(sql: Sql) -> list[int]:
    async with LedgerUnitOfWork(sql.session_factory) as uow:
        invoices = (await uow.execute(select(InvoiceRow.changes))).scalars().all()
        return [*invoices, *(await uow.execute(select(PaymentRow.changes))).scalars().all()]


async def test_defaults_of_the_users_models_are_filled_in_for_each_of_them(sql: Sql) -> None:
    await create_schema(sql.engine, LedgerUnitOfWork)
    async with LedgerUnitOfWork(sql.session_factory) as uow:
        await uow.invoices.add(Invoice(id="i", total=1))
        await uow.payments.add(Payment(id="p", total=1))
    assert await _changes(sql) == [10, 20]
    async with LedgerUnitOfWork(sql.session_factory) as uow:
        (await uow.invoices.require("i")).total = 2
        (await uow.payments.require("p")).total = 2
    assert await _changes(sql) == [11, 21]


# -- what the database refuses -----------------------------------------------------------------


class Team(AggregateRoot[str]):
    name: str


class Player(AggregateRoot[str]):
    team: str
    shirt: str


def _league(**constraint: Any) -> type[SQLAlchemyUnitOfWork]:
    metadata = MetaData()
    teams_table = Table(
        "teams",
        metadata,
        Column("id", String(60), nullable=False),
        Column("name", String(60), nullable=False),
        Column("version", BigInteger, nullable=False),
        PrimaryKeyConstraint("id", name="the_teams"),
        UniqueConstraint("name", name="teams_pkey_of_names"),
    )
    team = ForeignKey("teams.id", name="unique_team", **constraint)
    players_table = Table(
        "players",
        metadata,
        Column("id", String(60), primary_key=True),
        Column("team", String(60), team, nullable=False),
        Column("shirt", String(60), nullable=False),
        Column("version", BigInteger, nullable=False),
        UniqueConstraint("shirt", name="players_shirt"),
    )

    class LeagueUnitOfWork(SQLAlchemyUnitOfWork):
        players = repository(Player, table=players_table)
        teams = repository(Team, table=teams_table)

    return LeagueUnitOfWork


_AT_ONCE = _league()
_AT_COMMIT = _league(deferrable=True, initially="DEFERRED")


@dataclass(frozen=True)
class League:
    """Teams and players; where the database can, who plays where is checked at the commit."""

    sql: Sql
    outbox: SQLAlchemyOutboxStorage

    @property
    def uow_class(self) -> type[SQLAlchemyUnitOfWork]:
        return _AT_ONCE if self.sql.is_mariadb else _AT_COMMIT

    def uow(self) -> Any:
        return self.uow_class(self.sql.session_factory)

    async def refusal(self, *aggregates: Team | Player) -> Exception:
        """Save ``aggregates`` beside an outbox row; return why not, after nothing has stayed."""
        with pytest.raises(Exception) as refusal:  # noqa: PT011 - the tests tell which
            async with self.uow() as uow:
                await self.outbox.save_messages(_messages(1), uow)
                for aggregate in aggregates:
                    await (uow.teams if isinstance(aggregate, Team) else uow.players).add(aggregate)
        assert await self.outbox.get_pending() == []
        async with self.uow() as uow:
            assert len(await uow.teams.list_all()) == 1
            assert len(await uow.players.list_all()) == 1
        return refusal.value


@pytest.fixture
async def league(sql: Sql) -> League:
    league = League(sql, SQLAlchemyOutboxStorage(sql.session_factory))
    await create_schema(sql.engine, league.uow_class, league.outbox)
    async with league.uow() as uow:
        await uow.teams.add(Team(id="t-1", name="One"))
        await uow.flush()
        await uow.players.add(Player(id="p-1", team="t-1", shirt="1"))
    return league


# A value may look like whatever the error is told by.
@pytest.mark.parametrize("name", ["One", "key 'PRIMARY'", "teams.id", "unique"])
async def test_a_taken_value_is_a_unique_violation_whatever_it_is_called(
    league: League, name: str
) -> None:
    if name != "One":
        async with league.uow() as uow:
            (await uow.teams.require("t-1")).name = name
    refused = await league.refusal(Team(id="t-2", name=name))
    assert isinstance(refused, UniqueViolationError)
    assert refused.table == "teams"


async def test_a_taken_id_is_a_lost_race_whatever_the_constraint_is_called(league: League) -> None:
    refused = await league.refusal(Team(id="t-1", name="Other"))
    assert isinstance(refused, ConcurrencyError)
    assert (refused.target, refused.expected) == ("Team 't-1'", 0)


async def test_of_several_tables_the_one_that_refused_is_named(league: League) -> None:
    refused = await league.refusal(
        Team(id="t-2", name="Two"), Player(id="p-2", team="t-2", shirt="1")
    )
    assert isinstance(refused, UniqueViolationError)
    assert refused.table == "players"


async def test_a_missing_row_that_shows_at_the_commit_is_a_persistence_error(
    league: League,
) -> None:
    refused = await league.refusal(Player(id="p-2", team="nobody's", shirt="2"))
    assert type(refused) is PersistenceError


async def test_a_team_and_its_player_may_come_in_any_order(league: League) -> None:
    if league.sql.is_mariadb:
        pytest.skip("MariaDB checks foreign keys row by row")
    async with league.uow() as uow:
        await uow.players.add(Player(id="p-2", team="t-2", shirt="2"))
        await uow.teams.add(Team(id="t-2", name="Two"))
    async with league.uow() as uow:
        assert (await uow.players.require("p-2")).team == "t-2"


async def test_a_refused_row_among_many_undoes_them_all(league: League) -> None:
    many = [Team(id=f"t-{number}", name=f"T {number}") for number in range(2, 1000)]
    refused = await league.refusal(*many, Team(id="t-0", name="One"))
    assert isinstance(refused, UniqueViolationError)


async def test_a_message_saved_twice_undoes_the_command(sql: Sql) -> None:
    bank = await open_bank(sql)
    message = _messages(1)
    await bank.outbox.save_messages(message)
    with pytest.raises(PersistenceError, match="message_id must be unique"):
        async with bank.uow() as uow:
            await uow.accounts.add(Account(id="a"))
            await bank.outbox.save_messages(message, uow)
    assert await bank.balance("a") is None


async def test_an_id_that_is_too_long_is_refused_except_on_sqlite(sql: Sql) -> None:
    bank = await open_bank(sql)
    await bank.mediator.send(OpenAccount(account_id="a" * 255))
    if sql.is_sqlite:
        return
    with pytest.raises(PersistenceError):
        await bank.mediator.send(OpenAccount(account_id="a" * 256))
    assert len(await bank.outbox.get_pending()) == 1
