"""Searching objects in memory with specifications: the reference for every store."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from cqrs_ddd_core import AggregateRoot, InMemoryRepository, SearchResult
from cqrs_ddd_core.adapters.memory.search import InMemorySearch
from cqrs_ddd_core.primitives.query_errors import (
    FieldNotFoundError,
    InvalidCursorError,
    QueryOptionsError,
)
from cqrs_ddd_specifications import (
    AttributeSpecification,
    QueryOptions,
    Specification,
    SpecificationBuilder,
)
from cqrs_ddd_specifications.testing import Specimen, specifications, specimens


class Status(StrEnum):
    OPEN = "open"
    DONE = "done"


class Order(AggregateRoot[str]):
    customer: str | None
    total: Decimal
    status: Status = Status.OPEN
    placed_at: datetime | None = None
    labels: list[str] = Field(default_factory=list[str])
    attributes: dict[str, Any] = Field(default_factory=dict[str, Any])


def order(number: int, customer: str | None, total: str, **more: Any) -> Order:
    return Order(id=f"o-{number}", customer=customer, total=Decimal(total), **more)


ORDERS = [
    order(3, "ann", "30.00", attributes={"priority": 5}),
    order(1, "ann", "10.50", status=Status.DONE),
    order(5, None, "50.00", attributes={"priority": "high"}),
    order(2, "bob", "20.00", status=Status.DONE, attributes={"priority": 7}),
    order(4, "Bob", "10.50"),
]


def search(options: QueryOptions, orders: Sequence[Any] = ORDERS) -> SearchResult[Any]:
    return SearchResult(InMemorySearch(lambda: orders, options), options)


async def ids(options: QueryOptions) -> list[str]:
    return [found.id for found in await search(options)]


def where(attr: str, op: str, val: Any = None) -> QueryOptions:
    return QueryOptions(specification=AttributeSpecification(attr, op, val)).with_ordering("id")


async def test_what_meets_the_specification_is_found() -> None:
    assert await ids(where("customer", "=", "ann")) == ["o-1", "o-3"]
    assert await ids(where("customer", "!=", "ann")) == ["o-2", "o-4"]
    assert await ids(where("customer", "is_null")) == ["o-5"]
    assert await ids(where("status", "in", [Status.DONE])) == ["o-1", "o-2"]
    assert await ids(where("attributes.priority", ">", 4)) == ["o-2", "o-3"]


async def test_without_a_specification_everything_is_found() -> None:
    assert len(await search(QueryOptions())) == 5
    everything = SpecificationBuilder().build()
    assert len(await search(QueryOptions(specification=everything))) == 5


@given(st.lists(specimens(), max_size=5), specifications(max_leaves=4))
async def test_a_search_finds_what_the_specification_says_of_each(
    candidates: list[Specimen], specification: Specification
) -> None:
    options = QueryOptions(specification=specification)
    found = search(options, candidates)
    assert await found == [item for item in candidates if specification.is_satisfied_by(item)]
    assert await found.total_count() == len(await found)


async def test_the_order_is_by_each_field_in_turn_and_then_by_id() -> None:
    assert await ids(QueryOptions().with_ordering("total")) == ["o-1", "o-4", "o-2", "o-3", "o-5"]
    assert await ids(QueryOptions().with_ordering("-total", "customer")) == [
        *("o-5", "o-3", "o-2", "o-4", "o-1")
    ]
    assert await ids(QueryOptions().with_ordering("status", "-id")) == [
        *("o-2", "o-1", "o-5", "o-4", "o-3")
    ]


async def test_null_is_greater_than_everything_and_capitals_come_first() -> None:
    ordered = QueryOptions().with_ordering("customer")
    assert await ids(ordered) == ["o-4", "o-1", "o-3", "o-2", "o-5"]
    backwards = QueryOptions().with_ordering("-customer")
    assert await ids(backwards) == ["o-5", "o-2", "o-1", "o-3", "o-4"]


async def test_naive_and_aware_times_are_ordered_together() -> None:
    orders = [
        order(1, "ann", "1", placed_at=datetime(2024, 1, 2)),  # noqa: DTZ001
        order(2, "ann", "1", placed_at=datetime(2024, 1, 1, tzinfo=UTC)),
        order(3, "ann", "1"),
    ]
    found = await search(QueryOptions().with_ordering("placed_at"), orders)
    assert [item.id for item in found] == ["o-2", "o-1", "o-3"]


async def test_a_page_is_a_part_and_the_count_is_of_all() -> None:
    options = where("customer", "is_not_null").with_pagination(limit=2, offset=1)
    found = search(options)
    assert [item.id for item in await found] == ["o-2", "o-3"]
    assert await found.total_count() == 4
    assert await ids(options.with_pagination(limit=0)) == []
    assert await ids(options.with_pagination(offset=9)) == []


@pytest.mark.parametrize("ordering", [("total",), ("-customer",), ("status", "-total"), ()])
@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_cursors_lead_through_all_pages_once(ordering: tuple[str, ...], limit: int) -> None:
    options = where("total", ">", 0).with_ordering(*ordering)
    expected = await ids(options.with_limit(100))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = search(options.with_limit(limit).with_cursor(cursor))
        seen += [item.id for item in await page]
        cursor = await page.next_cursor()
        if cursor is None:
            break
    assert seen == expected


async def test_a_cursor_for_another_ordering_or_of_other_types_is_refused() -> None:
    by_total = await search(QueryOptions().with_ordering("total").with_limit(1)).next_cursor()
    by_customer = QueryOptions().with_ordering("customer").with_limit(1)
    with pytest.raises(InvalidCursorError, match="another ordering"):
        await search(by_customer.with_cursor(by_total))
    with pytest.raises(InvalidCursorError, match="damaged"):
        await search(by_customer.with_cursor("rubbish"))
    numbers = [{"id": 1, "customer": 5}, {"id": 2, "customer": 6}]
    of_numbers = await search(by_customer, numbers).next_cursor()
    with pytest.raises(InvalidCursorError, match="do not compare"):
        await search(by_customer.with_cursor(of_numbers))


async def test_selected_fields_come_as_dicts_paths_included() -> None:
    options = where("status", "=", "done").with_fields(["id", "attributes.priority"])
    assert await search(options) == [
        {"id": "o-1", "attributes.priority": None},
        {"id": "o-2", "attributes.priority": 7},
    ]


async def test_distinct_dicts_come_once() -> None:
    options = QueryOptions().with_fields(["total"]).with_distinct().with_ordering("-total")
    totals = [row["total"] for row in await search(options)]
    assert totals == [Decimal(50), Decimal(30), Decimal(20), Decimal("10.50")]


async def test_groups_have_their_fields_and_figures() -> None:
    options = (
        where("customer", "is_not_null")
        .with_grouping("status")
        .with_aggregation("total", "sum")
        .with_aggregation("id", "count", key="orders")
        .with_ordering("-total_sum")
    )
    found = search(options)
    assert await found == [
        {"status": Status.OPEN, "total_sum": Decimal("40.50"), "orders": 2},
        {"status": Status.DONE, "total_sum": Decimal("30.50"), "orders": 2},
    ]
    assert await found.total_count() == 2


async def test_figures_are_over_all_that_match_whatever_the_page() -> None:
    options = where("status", "=", "open").with_limit(1)
    for function in ("sum", "avg", "min", "max", "count"):
        options = options.with_aggregation("total", function)
    figures = await search(options.with_aggregation("customer", "count")).aggregations()
    assert figures == {
        "total_sum": Decimal("90.50"),
        "total_avg": Decimal("90.50") / 3,
        "total_min": Decimal("10.50"),
        "total_max": Decimal("50.00"),
        "total_count": 3,
        "customer_count": 2,
    }


async def test_figures_of_nothing_are_null_and_its_count_is_zero() -> None:
    options = where("id", "=", "none").with_aggregation("total", "sum")
    figures = await search(options.with_aggregation("total", "count")).aggregations()
    assert figures == {"total_sum": None, "total_count": 0}


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
async def test_a_result_is_streamed_in_batches(batch_size: int) -> None:
    batches = [
        [item.id for item in batch]
        async for batch in search(where("id", "like", "o-%")).stream(batch_size)
    ]
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert list(chain(*batches)) == ["o-1", "o-2", "o-3", "o-4", "o-5"]


@pytest.mark.parametrize(
    "options",
    [
        where("totl", ">", 1),
        QueryOptions().with_ordering("totl"),
        QueryOptions().with_fields(["totl"]),
        QueryOptions().with_grouping("totl"),
        QueryOptions().with_grouping("status").with_aggregation("totl", "sum"),
        QueryOptions().with_grouping("status").with_ordering("totl"),
    ],
    ids=["where", "order", "fields", "group", "figure", "order of groups"],
)
async def test_an_unknown_field_is_an_error_wherever_it_is_named(options: QueryOptions) -> None:
    with pytest.raises(FieldNotFoundError, match="totl"):
        await search(options)


@pytest.mark.parametrize(
    "options",
    [
        QueryOptions().with_ordering("attributes"),
        QueryOptions().with_ordering("attributes.priority"),
        QueryOptions().with_grouping("labels"),
        QueryOptions().with_grouping("status").with_aggregation("customer", "sum"),
        QueryOptions().with_grouping("status").with_aggregation("customer", "avg"),
        QueryOptions().with_grouping("status").with_aggregation("attributes", "max"),
        QueryOptions().with_fields(["id"]).with_distinct().with_ordering("total"),
    ],
    ids=["object", "mixed", "group", "sum", "avg", "max", "distinct"],
)
async def test_what_cannot_be_ordered_grouped_or_added_up_is_a_typed_error(
    options: QueryOptions,
) -> None:
    with pytest.raises(QueryOptionsError):
        await search(options)


async def test_a_repository_takes_a_specification_or_options() -> None:
    orders = InMemoryRepository[Order, str]()
    for each in ORDERS:
        await orders.add(each)
    ann = AttributeSpecification("customer", "=", "ann")
    assert len(await (await orders.search(ann))) == 2
    options = QueryOptions(specification=ann).with_ordering("-total")
    result = await orders.search(options)
    assert [found.id for found in await result] == ["o-3", "o-1"]
    first = await result.first()
    assert first is not None
    assert first.id == "o-3"
