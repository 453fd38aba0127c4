"""That statements which go past SQLAlchemy's execution do the same as those that do not."""
# ruff: noqa: PT012 - a failure and what led to it are one step

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Column, Connection, MetaData, Table, bindparam, event, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from cqrs_ddd_core import PersistenceError
from cqrs_ddd_core.testing import until
from cqrs_ddd_persistence_sqlalchemy import DatabaseUnavailableError, SQLAlchemyUnitOfWork
from cqrs_ddd_persistence_sqlalchemy.connecting import connect
from cqrs_ddd_persistence_sqlalchemy.greenlets import in_greenlet
from cqrs_ddd_persistence_sqlalchemy.prepared import Prepared
from cqrs_ddd_persistence_sqlalchemy.types import column_type
from cqrs_ddd_persistence_sqlalchemy.writes import Template, Write, WriteQueue

from .conftest import Sql, opened
from .statements import watched

VALUES: dict[str, Any] = {
    "text": "ä🙂",
    "whole": 2**62,
    "truth": True,
    "number": 0.1,
    "exact": Decimal("12345678901234567890.123456789"),
    "instant": datetime(2024, 2, 29, 12, 30, 0, 123456, tzinfo=UTC),
    "day": date(2024, 2, 29),
    "number_of_a_kind": UUID(int=7),
    "some_bytes": b"\x00\xff",
}
_KINDS: dict[str, type] = {name: type(value) for name, value in VALUES.items()}
DOCUMENTS: list[Any] = [{"a": [1, None]}, [1, [2, {}]], ["x"], "text", 5, None]
KINDS = Table(
    "kinds",
    MetaData(),
    Column("id", column_type(str, key=True), primary_key=True),
    *(Column(name, column_type(kind)) for name, kind in _KINDS.items()),
    Column("document", column_type(None)),
)
READ = Prepared(select(KINDS).order_by(KINDS.c.id))
ROWS = [
    {"id": str(place), **VALUES, "document": document} for place, document in enumerate(DOCUMENTS)
]
ROWS.append({name: None if name != "id" else "9" for name in ROWS[0]})


def _autocommitting(connection: Connection) -> Connection:
    return connection.execution_options(isolation_level="AUTOCOMMIT")


async def _rows(engine: AsyncEngine, statement: Prepared, **values: Any) -> list[tuple[Any, ...]]:
    """Run a statement where it goes to the driver; see that it does not go to SQLAlchemy."""

    def run() -> list[tuple[Any, ...]]:
        with connect(engine.sync_engine) as connection:
            connection.execute = None  # pyright: ignore[reportAttributeAccessIssue]
            return [tuple(row) for row in statement.rows(_autocommitting(connection), values)]

    return await in_greenlet(run)


async def _rows_by_sqlalchemy(
    engine: AsyncEngine, statement: Prepared, **values: Any
) -> list[tuple[Any, ...]]:
    with watched(engine) as seen:

        def run() -> list[tuple[Any, ...]]:
            with connect(engine.sync_engine) as connection:
                return [tuple(row) for row in statement.rows(_autocommitting(connection), values)]

        found = await in_greenlet(run)
    assert len(seen.statements) == 1
    return found


@pytest.fixture
async def kinds(postgres_sql: Sql) -> AsyncEngine:
    """A table with a column of every kind."""
    async with postgres_sql.engine.begin() as connection:
        await connection.run_sync(KINDS.metadata.create_all)
    return postgres_sql.engine


def _as_it_is(error: DBAPIError) -> Exception:
    return error


async def _insert(engine: AsyncEngine, rows: list[dict[str, Any]]) -> None:
    """Insert rows as a unit of work does at its end."""
    queue = WriteQueue()
    template = Template(KINDS, "insert", tuple(rows[0]))
    queue.add(Write(template, rows, _as_it_is))
    assert queue.are_one_statement

    def run() -> None:
        with connect(engine.sync_engine) as connection:
            queue.run_at_once(_autocommitting(connection))

    await in_greenlet(run)


def _typed(rows: list[tuple[Any, ...]]) -> list[list[tuple[type, Any]]]:
    return [[(type(value), value) for value in row] for row in rows]


# -- values ------------------------------------------------------------------------------------


async def test_values_of_every_kind_are_read_as_sqlalchemy_reads_them(kinds: AsyncEngine) -> None:
    for row in ROWS:
        await _insert(kinds, [row])
    found = await _rows(kinds, READ)
    assert _typed(found) == _typed(await _rows_by_sqlalchemy(kinds, READ))
    assert [dict(zip(KINDS.c.keys(), row, strict=True)) for row in found] == ROWS


async def test_many_rows_in_one_statement_are_what_they_are_one_by_one(kinds: AsyncEngine) -> None:
    await _insert(kinds, ROWS)
    many = await _rows(kinds, READ)
    async with kinds.begin() as connection:
        await connection.execute(KINDS.delete())
    for row in ROWS:
        await _insert(kinds, [row])
    assert _typed(many) == _typed(await _rows(kinds, READ))


async def test_values_are_given_as_sqlalchemy_gives_them(kinds: AsyncEngine) -> None:
    await _insert(kinds, ROWS[:1])
    for name, value in VALUES.items():
        column = KINDS.c[name]
        statement = Prepared(
            select(KINDS.c.id).where(column == bindparam("value", type_=column.type))
        )
        assert await _rows(kinds, statement, value=value) == [("0",)]
        assert await _rows(kinds, statement, value=None) == []


async def test_a_literal_in_the_statement_is_one_of_its_parameters(kinds: AsyncEngine) -> None:
    await _insert(kinds, ROWS)
    assert (
        len(await _rows(kinds, Prepared(select(KINDS.c.id).where(KINDS.c.id < "3").limit(2)))) == 2
    )


async def test_a_text_that_is_too_long_for_its_column_is_refused_among_many(
    kinds: AsyncEngine,
) -> None:
    rows = [{"id": "short", "text": "a"}, {"id": "x" * 256, "text": "b"}]
    with pytest.raises(DBAPIError, match="too long"):
        await _insert(kinds, rows)
    assert await _rows(kinds, READ) == []


# -- errors ------------------------------------------------------------------------------------


def _given(name: str) -> Any:
    return bindparam(name, type_=KINDS.c[name].type)


def _found_by(name: str) -> Prepared:
    return Prepared(select(KINDS.c.id).where(KINDS.c[name] == _given(name)))


INSERTED = KINDS.insert().values(id=_given("id")).returning(KINDS.c.id).cte("inserted")
INSERT = Prepared(select(func.count()).select_from(INSERTED))
DIVISION = Prepared(select(1 / _given("whole")))
FAILING: Mapping[str, tuple[Prepared, dict[str, Any]]] = {
    "a key that is taken": (INSERT, {"id": "0"}),
    "a division by zero": (DIVISION, {"whole": 0}),
    "a table that is not there": (Prepared(select(text("1")).select_from(text("nowhere"))), {}),
    "a value of another type": (_found_by("whole"), {"whole": "three"}),
    "a character that text may not have": (_found_by("text"), {"text": "\x00"}),
    "a value that its type refuses": (_found_by("exact"), {"exact": "no number"}),
}


def _described(error: BaseException) -> dict[str, Any]:
    origin = getattr(error, "orig", None)
    return {
        "type": type(error),
        "origin": type(origin),
        "text": str(origin),
        "sqlstate": getattr(origin, "sqlstate", None),
        "constraint": getattr(getattr(origin, "__cause__", None), "constraint_name", None),
        "table": getattr(getattr(origin, "__cause__", None), "table_name", None),
        "statement": getattr(error, "statement", None),
        "is lost": getattr(error, "connection_invalidated", None),
    }


@pytest.mark.parametrize("what", FAILING)
async def test_an_error_is_the_one_that_sqlalchemy_raises(kinds: AsyncEngine, what: str) -> None:
    await _insert(kinds, ROWS[:1])
    statement, values = FAILING[what]
    with pytest.raises(Exception) as ours:  # noqa: PT011 - compared below
        await _rows(kinds, statement, **values)
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        await _rows_by_sqlalchemy(kinds, statement, **values)
    assert _described(ours.value) == _described(theirs.value)
    assert len(await _rows(kinds, READ)) == 1  # the connection is good for more


async def test_a_failed_read_that_was_caught_keeps_the_commit_from_happening(
    postgres_sql: Sql,
) -> None:
    with pytest.raises(PersistenceError, match="the error was caught: division by zero"):
        async with SQLAlchemyUnitOfWork(postgres_sql.session_factory) as uow:
            with pytest.raises(DBAPIError):
                await uow.rows(DIVISION, {"whole": 0})


async def test_a_connection_lost_in_a_read_is_known_at_the_commit(postgres_sql: Sql) -> None:
    end_it = Prepared(select(func.pg_terminate_backend(func.pg_backend_pid())))
    with pytest.raises(DatabaseUnavailableError):
        async with SQLAlchemyUnitOfWork(postgres_sql.session_factory) as uow:
            with pytest.raises(DBAPIError) as lost:
                await uow.rows(end_it, {})
            assert lost.value.connection_invalidated
    assert await _rows(postgres_sql.engine, Prepared(select(func.length("abc")))) == [(3,)]


async def test_a_read_that_is_cancelled_gives_its_connection_up(postgres_url: str) -> None:
    async with opened(postgres_url, pool_size=1, max_overflow=0, pool_timeout=30) as sql:
        who = Prepared(select(func.pg_backend_pid()))
        ((process,),) = await _rows(sql.engine, who)
        async with opened(postgres_url) as other:
            running = asyncio.create_task(_rows(sql.engine, Prepared(select(func.pg_sleep(300)))))
            await until(lambda: _sleeps(other.engine, process), timeout=60)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert await _rows(sql.engine, who) != [(process,)]


async def _sleeps(engine: AsyncEngine, process: int) -> bool:
    sleeping = text("pid = :process AND wait_event = 'PgSleep'").bindparams(process=process)
    found = select(func.count()).select_from(text("pg_stat_activity")).where(sleeping)
    return await _rows(engine, Prepared(found)) == [(1,)]


# -- whom it goes past -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "before_execute",
        "after_execute",
        "before_cursor_execute",
        "after_cursor_execute",
        "do_execute",
    ],
)
async def test_who_listens_to_statements_hears_them(postgres_sql: Sql, name: str) -> None:
    heard: list[str] = []
    event.listen(postgres_sql.engine.sync_engine, name, lambda *_: heard.append(name), retval=False)
    uow = SQLAlchemyUnitOfWork(postgres_sql.session_factory)
    async with uow:
        await uow.rows(Prepared(select(func.length("abc"))), {})
    assert heard


async def test_who_logs_statements_finds_them(
    postgres_sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="sqlalchemy.engine"):
        uow = SQLAlchemyUnitOfWork(postgres_sql.session_factory)
        async with uow:
            await uow.rows(Prepared(select(func.length("heard"))), {})
    assert any("length" in record.getMessage() for record in caplog.records)


async def test_a_statement_inside_a_transaction_is_part_of_it(kinds: AsyncEngine) -> None:
    async with kinds.connect() as connection:
        await connection.run_sync(lambda sync: INSERT.rows(sync, {"id": "new"}))
        await connection.rollback()
    assert await _rows(kinds, READ) == []


async def test_a_table_may_change_while_the_process_runs(kinds: AsyncEngine) -> None:
    await _insert(kinds, ROWS[:1])
    statement = Prepared(select(KINDS.c.number, KINDS.c.whole))
    assert await _rows(kinds, statement) == [(0.1, 2**62)]
    url = kinds.url.render_as_string(hide_password=False)
    async with opened(url) as other, other.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE kinds ALTER COLUMN whole TYPE numeric"))
    assert await _rows(kinds, statement) == [(0.1, 2**62)]
