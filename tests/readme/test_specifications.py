"""Specifications and query options, as the documentation writes them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import Field

from cqrs_ddd_core import (
    AggregateRoot,
    InMemoryDatabase,
    InMemoryRepository,
    InMemoryUnitOfWork,
    IRepository,
    repository,
)
from cqrs_ddd_core.ports import QueryOptions as QueryOptionsOfCore
from cqrs_ddd_core.ports import SearchResult
from cqrs_ddd_core.primitives.query_errors import QueryOptionsError
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyRepository,
    create_engine,
    create_schema,
    create_session_factory,
)
from cqrs_ddd_specifications import AndSpecification, QueryOptions, SpecificationBuilder


class Title(AggregateRoot[str]):
    name: str
    shelf: str = "fiction"
    status: str = "lent"
    price: int = 0
    note: str = ""
    bought_at: datetime = datetime(2024, 6, 1, tzinfo=UTC)
    sold_at: datetime | None = None
    tags: list[str] = Field(default_factory=list[str])
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])


class ShelvesUnitOfWork(InMemoryUnitOfWork):
    titles = repository(Title)


TITLES = [
    Title(
        id="t-1",
        name="The Order of Time",
        price=120,
        note="Premium, signed",
        tags=["new", "urgent"],
        metadata={"priority": 7},
    ),
    Title(
        id="t-2",
        name="Order out of Chaos",
        shelf="science",
        price=300,
        note="Premium",
        tags=["priority"],
        metadata={"priority": 9},
        bought_at=datetime(2024, 2, 1, tzinfo=UTC),
    ),
    Title(id="t-3", name="Emma", price=90, note="worn", metadata={"priority": 1}),
    Title(id="t-4", name="Dune Order", price=2_000, status="on loan", sold_at=datetime.now(UTC)),
]


@pytest.fixture(params=["memory", "sqlite"])
async def titles(request: pytest.FixtureRequest) -> AsyncIterator[IRepository[Title, str]]:
    if request.param == "memory":
        in_memory = InMemoryRepository[Title, str]()
        await _fill(in_memory)
        yield in_memory
        return
    engine = create_engine(request.getfixturevalue("sqlite_url"))
    on_sql = SQLAlchemyRepository[Title, str](Title, create_session_factory(engine))
    await create_schema(engine, on_sql)
    await _fill(on_sql)
    yield on_sql
    await engine.dispose()


async def _fill(titles: IRepository[Title, str]) -> None:
    for title in TITLES:
        await titles.add(title.model_copy(deep=True))


Titles = IRepository[Title, str]
wanted = (
    SpecificationBuilder()
    .where("status", "==", "lent")
    .where("price", ">", 100)
    .where("shelf", "in", ["fiction", "science"])
    .where("name", "contains", "Order")
    .where("note", "starts_with", "Premium")
    .where("sold_at", "is_null")
    .where("bought_at", "between", ["2024-01-01", "2024-12-31"])
    .where("metadata.priority", ">", 5)
    .where("tags", "contains_any", ["urgent", "priority"])
    .build()
)


async def test_every_kind_of_condition_in_one_specification(titles: Titles) -> None:
    options = QueryOptions().with_specification(wanted).with_ordering("-bought_at", "name")
    result: SearchResult[Title] = await titles.search(options)
    assert [title.id for title in await result] == ["t-1", "t-2"]
    found = await (await titles.search(wanted))
    assert sorted(title.id for title in found) == ["t-1", "t-2"]


async def test_a_result_is_awaited_streamed_in_batches_counted_and_summed(titles: Titles) -> None:
    options = (
        QueryOptions()
        .with_specification(SpecificationBuilder().where("price", ">=", 90).build())
        .with_pagination(limit=3, offset=1)
        .with_ordering("-price", "name")
        .with_aggregation("price", "sum")
    )
    result = await titles.search(options)
    assert [title.id for title in await result] == ["t-2", "t-1", "t-3"]
    batches = [[title.id for title in batch] async for batch in result.stream(batch_size=2)]
    assert batches == [["t-2", "t-1"], ["t-3"]]
    assert await result.total_count() == 4
    aggregations = await result.aggregations()
    assert aggregations["price_sum"] == 2_510


async def test_fields_make_rows_of_just_those_fields(titles: Titles) -> None:
    options = QueryOptions().with_specification(wanted).with_fields(["id", "price"])
    rows: list[Any] = await (await titles.search(options.with_ordering("id")))
    assert rows == [{"id": "t-1", "price": 120}, {"id": "t-2", "price": 300}]


async def test_groups_have_their_fields_and_their_figures(titles: Titles) -> None:
    options = (
        QueryOptions()
        .with_grouping("shelf")
        .with_aggregation("price", "sum")
        .with_ordering("shelf")
    )
    rows: list[Any] = await (await titles.search(options))
    assert rows == [
        {"shelf": "fiction", "price_sum": 2_210},
        {"shelf": "science", "price_sum": 300},
    ]


def test_fields_that_a_group_does_not_have_are_refused_with_the_way_out() -> None:
    with pytest.raises(QueryOptionsError, match="drop select_fields"):
        QueryOptions().with_fields(["id", "price"]).with_grouping("shelf")


async def test_specifications_are_reused_and_composed(titles: Titles) -> None:
    in_house = (
        SpecificationBuilder()
        .where("status", "in", ["lent", "reserved"])
        .where("sold_at", "is_null")
        .build()
    )
    dear = SpecificationBuilder().where("price", ">", 100).build()
    options = QueryOptions().with_specification(AndSpecification(in_house, dear))
    ids = sorted(title.id for title in await (await titles.search(options)))
    assert ids == ["t-1", "t-2"]
    assert sorted(title.id for title in await (await titles.search(in_house & ~dear))) == ["t-3"]
    assert AndSpecification(in_house, dear).is_satisfied_by(TITLES[0])


async def test_the_current_unit_of_work_searches_in_the_same_way() -> None:
    database = InMemoryDatabase()
    async with ShelvesUnitOfWork(database) as uow:
        await uow.titles.add(TITLES[2].model_copy(deep=True))
        assert len(await (await uow.titles.search(SpecificationBuilder().build()))) == 1


def test_query_options_are_one_class_under_both_names() -> None:
    assert QueryOptions is QueryOptionsOfCore
