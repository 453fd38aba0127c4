"""What the SQL event store does beside what all event stores do."""
# ruff: noqa: PT012 - a unit of work is one step

import pytest
from sqlalchemy import text

from cqrs_ddd_core import (
    ConcurrencyError,
    StoredEvent,
    StreamAppend,
    StreamId,
    new_id,
    repository,
    utc_now,
)
from cqrs_ddd_core.testing.conformance.samples import Order
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyOutboxStorage,
    SQLAlchemyUnitOfWork,
    create_schema,
    metadata_of,
)

from .conftest import Sql
from .statements import watched

ORDER = StreamId("Order", "o-1")


class ShopUnitOfWork(SQLAlchemyUnitOfWork):
    orders = repository(Order, table="orders")


def event(stream: StreamId = ORDER) -> StoredEvent:
    return StoredEvent(
        event_id=new_id(),
        event_type="Placed",
        stream=stream,
        payload=b"{}",
        occurred_at=utc_now(),
    )


async def test_two_stores_with_names_of_their_own_share_a_transaction(sql: Sql) -> None:
    first = SQLAlchemyEventStore(sql.session_factory, table="Shop Events")
    second = SQLAlchemyEventStore(sql.session_factory, table="audit")
    await create_schema(sql.engine, first, second)
    async with SQLAlchemyUnitOfWork(sql.session_factory) as uow:
        await first.append(ORDER, [event(), event()], 0, uow)
        await second.append(ORDER, [event()], 0, uow)
    assert (await first.latest_position(), await second.latest_position()) == (2, 1)


async def test_all_its_tables_go_to_alembic(sql: Sql) -> None:
    store = SQLAlchemyEventStore(sql.session_factory)
    names = set(metadata_of(store).tables)
    assert names == {"events", "events_pending", "events_feed", "events_head", "events_tags"}


async def test_an_aggregate_and_its_events_commit_in_one_statement(postgres_sql: Sql) -> None:
    sql = postgres_sql
    store = SQLAlchemyEventStore(sql.session_factory)
    outbox = SQLAlchemyOutboxStorage(sql.session_factory)
    await create_schema(sql.engine, store, outbox, ShopUnitOfWork)
    async with ShopUnitOfWork(sql.session_factory):
        await store.stream_version(ORDER)  # has the engine asked what it is asked once
    with watched(sql.engine) as seen:
        async with ShopUnitOfWork(sql.session_factory) as uow:
            await uow.orders.add(Order(id="o-1"))
            await store.append(ORDER, [event(), event()], 0, uow)
            await store.append(ORDER, [event()], 2, uow)
            other = StreamId("Order", "o-2")
            await store.append_many([StreamAppend(other, [event(other)], 0)], uow)
    assert (len(seen.statements), seen.commits) == (1, 0)
    assert await store.latest_position() == 4


async def test_a_refused_append_keeps_nothing_of_that_statement(postgres_sql: Sql) -> None:
    sql = postgres_sql
    store = SQLAlchemyEventStore(sql.session_factory)
    await create_schema(sql.engine, store, ShopUnitOfWork)
    await store.append(ORDER, [event()], 0)
    with pytest.raises(ConcurrencyError) as refusal:
        async with ShopUnitOfWork(sql.session_factory) as uow:
            await uow.orders.add(Order(id="o-1"))
            await store.append(ORDER, [event()], 0, uow)
    assert (refusal.value.expected, refusal.value.actual) == (0, 1)
    async with ShopUnitOfWork(sql.session_factory) as uow:
        assert await uow.orders.get("o-1") is None


async def test_postgresql_vacuums_what_waits_for_positions_often(postgres_sql: Sql) -> None:
    await create_schema(postgres_sql.engine, SQLAlchemyEventStore(postgres_sql.session_factory))
    async with postgres_sql.engine.connect() as connection:
        query = "SELECT reloptions FROM pg_class WHERE relname = 'events_pending'"
        options = (await connection.execute(text(query))).scalar_one()
    assert "autovacuum_vacuum_scale_factor=0" in options


async def test_streams_are_read_in_batches(sql: Sql) -> None:
    store = SQLAlchemyEventStore(sql.session_factory, batch_size=4)
    await create_schema(sql.engine, store)
    events = [event() for _ in range(10)]
    await store.append(ORDER, events, 0)
    ids = [stored.event_id for stored in events]
    assert [e.event_id async for e in store.read_stream(ORDER)] == ids
    assert [e.event_id async for e in store.read_stream(ORDER, backwards=True)] == ids[::-1]
    assert [e.event_id async for e in store.read_all()] == ids
    assert [e.event_id async for e in store.read_all(backwards=True)] == ids[::-1]
