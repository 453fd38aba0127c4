"""Streams that have ended, moved to an archive as the page on the feed says."""

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text

from cqrs_ddd_advanced_core import EventSourcedAggregate, EventSourcedRepository, StreamGapError
from cqrs_ddd_core import ConcurrencyError, DomainEvent
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyUnitOfWork,
    create_schema,
)

from .conftest import Sql

PAGE = Path(__file__).parents[4] / "docs" / "event-feed.md"


class Sold(DomainEvent):
    cents: int


class Till(EventSourcedAggregate[str]):
    total: int = 0

    def apply_sold(self, event: Sold) -> None:
        self.total += event.cents


def tills(store: SQLAlchemyEventStore) -> EventSourcedRepository[Till]:
    return EventSourcedRepository(event_store=store, aggregate_cls=Till)


@pytest.fixture
async def stores(sql: Sql) -> list[SQLAlchemyEventStore]:
    """Two tills of four events each, and an archive: on PostgreSQL a partitioned one."""
    store = SQLAlchemyEventStore(sql.session_factory)
    archive = SQLAlchemyEventStore(sql.session_factory, table="archived_events")
    await create_schema(sql.engine, store)
    if sql.engine.dialect.name == "postgresql":
        [statements] = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
        async with sql.engine.begin() as connection:
            for statement in statements.split(";\n"):
                if statement.strip():
                    await connection.execute(text(statement))
    await create_schema(sql.engine, archive)
    for name in ("ended", "current"):
        till = Till(id=name)
        for cents in (1, 2, 3, 4):
            till.record(Sold(cents=cents))
        await tills(store).add(till)
    await store.latest_position()
    return [store, archive]


async def move(sql: Sql, stores: list[SQLAlchemyEventStore]) -> None:
    (events, archived), ended = (store.tables.events for store in stores), "ended"
    async with SQLAlchemyUnitOfWork(sql.session_factory) as uow:
        whole, names = events.c.aggregate_id == ended, [column.name for column in events.columns]
        await uow.execute(insert(archived).from_select(names, select(events).where(whole)))
        await uow.execute(delete(events).where(whole, events.c.version.between(2, 3)))


async def test_an_archived_stream_stays_ended_and_is_read_from_the_archive(
    sql: Sql, stores: list[SQLAlchemyEventStore]
) -> None:
    store, archive = stores
    await move(sql, stores)
    stream = tills(store).stream_of("ended")
    found = [(event.position, event.version) async for event in store.read_all()]
    assert found == [(1, 1), (4, 4), (5, 1), (6, 2), (7, 3), (8, 4)]
    archived: Any = await tills(archive).require("ended")
    assert (archived.total, archived.version) == (10, 4)
    assert (await tills(store).require("current")).total == 10
    with pytest.raises(StreamGapError, match=r"Till/ended has no event 2") as gap:
        await tills(store).require("ended")
    assert (gap.value.stream, gap.value.version) == (stream, 2)
    again = Till(id="ended")
    again.record(Sold(cents=9))
    with pytest.raises(ConcurrencyError):
        await tills(store).add(again)
    assert await store.stream_version(stream) == 4
