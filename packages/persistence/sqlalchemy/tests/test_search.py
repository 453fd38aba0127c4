"""Streams that hold little, pages behind equal values and nulls, figures: on real databases."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from cqrs_ddd_core import AggregateRoot, QueryOptions, repository
from cqrs_ddd_core.testing import until
from cqrs_ddd_persistence_sqlalchemy import AggregateMapping, SQLAlchemyUnitOfWork, create_schema
from cqrs_ddd_specifications import AttributeSpecification, Operator

from .conftest import Sql, opened
from .statements import watched


class Parcel(AggregateRoot[str]):
    weight: int
    city: str | None = None
    content: str = ""


class DepotUnitOfWork(SQLAlchemyUnitOfWork):
    parcels = repository(Parcel)


_PLAIN = AggregateMapping(Parcel)
_restored: list[str] = []


def _counting(row: Mapping[str, Any]) -> Parcel:
    _restored.append(row["id"])
    return Parcel(**{name: row[name] for name in ("id", "weight", "city", "content")})


class CountingUnitOfWork(SQLAlchemyUnitOfWork):
    parcels = repository(
        Parcel, mapping=AggregateMapping(Parcel, _PLAIN.table, dump=_PLAIN.dump, restore=_counting)
    )


async def _fill(sql: Sql, *parcels: Parcel) -> None:
    await create_schema(sql.engine, DepotUnitOfWork)
    async with DepotUnitOfWork(sql.session_factory) as uow:
        for parcel in parcels:
            await uow.parcels.add(parcel)


@pytest.fixture
async def depot(sql: Sql) -> AsyncIterator[Sql]:
    """A hundred parcels: ten weights, cities with a null among them."""
    cities = (None, "Riga", "Oslo", "Łódź")
    await _fill(
        sql,
        *(
            Parcel(id=f"p-{number:03}", weight=number % 10, city=cities[number % 4])
            for number in range(100)
        ),
    )
    yield sql
    pool = sql.engine.sync_engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.checkedout() == 0


# -- streams -----------------------------------------------------------------------------------


async def test_rows_are_read_batch_by_batch(depot: Sql) -> None:
    _restored.clear()
    async with CountingUnitOfWork(depot.session_factory) as uow:
        result = await uow.parcels.search()
        read: list[int] = []
        async for batch in result.stream(batch_size=30):
            read.append(len(_restored))
            assert len(batch) in {30, 10}
    assert read == [30, 60, 90, 100]


_BIG, _SIZE = 1_000, 20_000


async def test_a_stream_holds_a_batch_and_not_the_whole(sql: Sql) -> None:
    await _fill(sql, *(Parcel(id=f"p-{n:04}", weight=n, content="x" * _SIZE) for n in range(_BIG)))
    async with DepotUnitOfWork(sql.session_factory) as uow:
        uow.read_only = True
        result = await uow.parcels.search(QueryOptions().with_ordering("weight"))
        tracemalloc.start()
        try:
            seen = 0
            async for batch in result.stream(batch_size=20):
                seen += len(batch)
            _, streamed = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            assert len(await result) == seen == _BIG
            _, fetched = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert fetched > _BIG * _SIZE
    assert streamed < fetched / 4


async def _open_cursors(uow: SQLAlchemyUnitOfWork) -> int:
    return (await uow.execute(text("SELECT count(*) FROM pg_cursors"))).scalar_one()


async def test_the_rows_wait_on_the_server_until_the_stream_is_left(depot: Sql) -> None:
    if not depot.is_postgres:
        pytest.skip("only PostgreSQL tells of its cursors")
    async with DepotUnitOfWork(depot.session_factory) as uow:
        before = await _open_cursors(uow)
        async for _batch in (await uow.parcels.search()).stream(batch_size=10):
            assert await _open_cursors(uow) == before + 1
            break
        if "asyncpg" in depot.url:  # with which SQLAlchemy leaves it to the end of the transaction
            await uow.commit()

        async def is_closed() -> bool:
            return await _open_cursors(uow) == before

        await until(is_closed, timeout=30)


async def test_mariadb_reads_page_by_page_behind_the_last_row(mariadb_sql: Sql) -> None:
    await _fill(mariadb_sql, *(Parcel(id=f"p-{n}", weight=n % 3) for n in range(25)))
    options = QueryOptions().with_ordering("-weight")
    with watched(mariadb_sql.engine) as seen:
        async with DepotUnitOfWork(mariadb_sql.session_factory) as uow:
            result = await uow.parcels.search(options)
            sizes = [len(batch) async for batch in result.stream(batch_size=10)]
    assert sizes == [10, 10, 5]
    assert len(seen.statements) == 3
    assert all("LIMIT" in statement and "OFFSET" not in statement for statement in seen.statements)


@pytest.mark.parametrize("batch_size", [1, 7])
async def test_a_stream_left_early_disturbs_nothing_that_follows(
    depot: Sql, batch_size: int
) -> None:
    for _ in range(10):
        async with DepotUnitOfWork(depot.session_factory) as uow:
            async for _batch in (await uow.parcels.search()).stream(batch_size=batch_size):
                break
            assert len(await uow.parcels.list_all()) == 100
            (await uow.parcels.require("p-050")).weight += 1
    async with DepotUnitOfWork(depot.session_factory) as uow:
        assert (await uow.parcels.require("p-050")).weight == 10


async def test_a_stream_left_early_is_closed_before_its_transaction_ends_however_slow_that_is(
    postgres_psycopg_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, closed = psycopg.AsyncServerCursor.close, list[str]()

    async def close_late(cursor: psycopg.AsyncServerCursor[Any]) -> None:
        for _ in range(3000):  # turns of the event loop, in which the unit of work goes on
            await asyncio.sleep(0)
        await close(cursor)
        closed.append("stream")

    monkeypatch.setattr(psycopg.AsyncServerCursor, "close", close_late)
    async with opened(postgres_psycopg_url) as sql:
        await _fill(sql, *(Parcel(id=f"p-{number}", weight=0) for number in range(20)))
        for weight in range(1, 4):
            async with DepotUnitOfWork(sql.session_factory) as uow:
                async for _batch in (await uow.parcels.search()).stream(batch_size=7):
                    break
                (await uow.parcels.require("p-5")).weight = weight
            closed.append("transaction")
    assert closed == ["stream", "transaction"] * 3


async def test_other_statements_may_run_while_a_stream_is_open(depot: Sql) -> None:
    async with DepotUnitOfWork(depot.session_factory) as uow:
        outer = await uow.parcels.search(QueryOptions().with_ordering("id"))
        ids: list[str] = []
        async for batch in outer.stream(batch_size=15):
            for parcel in batch:
                ids.append(parcel.id)
                parcel.weight += 100
            await uow.parcels.add(Parcel(id=f"new-{len(ids)}", weight=0))
            await uow.flush()
            heavy = AttributeSpecification("weight", Operator.GE, 100)
            assert await (await uow.parcels.search(heavy)).total_count() == len(ids)
            inner = (await uow.parcels.search()).stream(batch_size=40)
            assert sum([len(rows) async for rows in inner]) >= 100
    assert ids == [f"p-{number:03}" for number in range(100)]
    async with DepotUnitOfWork(depot.session_factory) as uow:
        assert {parcel.weight // 100 for parcel in await uow.parcels.list_all(ids)} == {1}


async def test_a_commit_ends_a_stream_without_losing_what_was_done(depot: Sql) -> None:
    async with DepotUnitOfWork(depot.session_factory) as uow:
        async for batch in (await uow.parcels.search()).stream(batch_size=10):
            batch[0].weight = 77
            break
        await uow.commit()
        assert await (await uow.parcels.search(_weighing(77))).total_count() == 1


# -- pages -------------------------------------------------------------------------------------

ORDERINGS = [
    ("city", "weight"),
    ("-city", "weight"),
    ("weight", "-city"),
    ("-weight", "-city", "-id"),
    ("-city",),
]


@pytest.mark.parametrize("ordering", ORDERINGS, ids="_".join)
async def test_a_cursor_meets_every_item_once_behind_equal_values_and_nulls(
    depot: Sql, ordering: tuple[str, ...]
) -> None:
    options = QueryOptions().with_ordering(*ordering)
    async with DepotUnitOfWork(depot.session_factory) as uow:
        expected = [parcel.id for parcel in await (await uow.parcels.search(options))]
        met: list[str] = []
        page = await uow.parcels.search(options.with_limit(9))
        while True:
            met += [parcel.id for parcel in await page]
            cursor = await page.next_cursor()
            if cursor is None:
                break
            page = await uow.parcels.search(options.with_limit(9).with_cursor(cursor))
    assert met == expected
    assert len(set(met)) == 100


@pytest.mark.parametrize("ordering", ORDERINGS, ids="_".join)
async def test_a_stream_has_the_order_of_the_list(depot: Sql, ordering: tuple[str, ...]) -> None:
    options = QueryOptions().with_ordering(*ordering)
    async with DepotUnitOfWork(depot.session_factory) as uow:
        for asked in (
            options,
            options.with_pagination(limit=50, offset=13),
            options.with_fields(["city"]),
            options.with_fields(["weight", "id"]).with_pagination(limit=41, offset=3),
            options.with_fields(["city", "weight", "id"]).with_distinct(),
        ):
            expected = _plain(await (await uow.parcels.search(asked)))
            batches = (await uow.parcels.search(asked)).stream(batch_size=8)
            assert [item async for batch in batches for item in _plain(batch)] == expected


def _plain(items: list[Any]) -> list[Any]:
    return [item if isinstance(item, dict) else item.id for item in items]


# -- figures -----------------------------------------------------------------------------------


def _weighing(weight: int) -> AttributeSpecification:
    return AttributeSpecification("weight", Operator.EQ, weight)


async def test_counts_figures_groups_and_projections_come_from_the_database(depot: Sql) -> None:
    async with CountingUnitOfWork(depot.session_factory) as uow:
        _restored.clear()
        light = AttributeSpecification("weight", Operator.LT, 5)
        options = (
            QueryOptions(specification=light, limit=3)
            .with_aggregation("weight", "sum")
            .with_aggregation("weight", "avg")
            .with_aggregation("city", "count")
        )
        result = await uow.parcels.search(options)
        assert await result.total_count() == 50
        figures = await result.aggregations()
        assert figures == {"weight_sum": 100, "weight_avg": 2.0, "city_count": 40 - 5}
        groups = QueryOptions().with_grouping("city").with_aggregation("weight", "sum")
        found: Any = await uow.parcels.search(groups)
        rows: list[dict[str, Any]] = await found
        by_city: dict[Any, int] = {row["city"]: row["weight_sum"] for row in rows}
        assert set(by_city) == {None, "Riga", "Oslo", "Łódź"}
        assert sum(by_city.values()) == 450
        assert await (await uow.parcels.search(groups)).total_count() == 4
        projection = await uow.parcels.search(QueryOptions(limit=1).with_fields(["weight"]))
        assert await projection == [{"weight": 0}]
        assert _restored == []
