"""That a plan which PostgreSQL made while a table was small does not read all of it for ever."""

import pytest
from sqlalchemy import text

from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyInboxStorage,
    create_schema,
)
from cqrs_ddd_persistence_sqlalchemy.event_store.append_statement import append_statement
from cqrs_ddd_persistence_sqlalchemy.event_store.feed import page_query
from cqrs_ddd_persistence_sqlalchemy.event_store.streams import version_query
from cqrs_ddd_persistence_sqlalchemy.prepared import Prepared

from .conftest import Sql


async def _plan(sql: Sql, statement: Prepared) -> str:
    """Return the plan that is kept for a statement, made now."""
    compiled = statement.statement.compile(dialect=sql.engine.dialect)
    async with sql.engine.begin() as connection:
        await connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        await connection.exec_driver_sql(f"PREPARE kept AS {compiled.string}")
        unknown = ", ".join("NULL" for _ in compiled.params)
        rows = await connection.exec_driver_sql(f"EXPLAIN EXECUTE kept({unknown})")
        plan = "\n".join(rows.scalars())
        await connection.exec_driver_sql("DEALLOCATE kept")
    return plan


@pytest.fixture
async def storages(postgres_sql: Sql) -> tuple[Sql, SQLAlchemyEventStore, SQLAlchemyInboxStorage]:
    """Empty tables, of which PostgreSQL knows nothing."""
    events = SQLAlchemyEventStore(postgres_sql.session_factory)
    inbox = SQLAlchemyInboxStorage(postgres_sql.session_factory)
    await create_schema(postgres_sql.engine, events, inbox)
    return postgres_sql, events, inbox


async def test_events_and_inbox_are_found_by_their_keys(
    storages: tuple[Sql, SQLAlchemyEventStore, SQLAlchemyInboxStorage],
) -> None:
    sql, events, inbox = storages
    appends, versions = (
        append_statement(events.tables, with_tags=False),
        version_query(events.tables),
    )
    page = page_query(events.tables, backwards=False, on_postgresql=True)
    for statement in (appends, versions, page):
        plan = await _plan(sql, statement)
        assert "Seq Scan on events" not in plan, plan
        assert "Index" in plan
    plan = await _plan(sql, inbox.query)
    assert "Index Cond: ((consumer = ($2)::text) AND (message_id = given.given))" in plan
