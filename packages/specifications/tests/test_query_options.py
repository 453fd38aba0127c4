"""Options of a search that carry specifications."""

from typing import Any

import pytest

from cqrs_ddd_core import ports
from cqrs_ddd_core.ports.query_options import AGGREGATE_FUNCTIONS, Aggregation, Ordering
from cqrs_ddd_core.primitives.query_errors import QueryOptionsError
from cqrs_ddd_specifications import (
    AndSpecification,
    AttributeSpecification,
    QueryOptions,
    SearchResult,
    SpecificationFactory,
)

ACTIVE = AttributeSpecification("active", "=", True)
LARGE = AttributeSpecification("total", ">", 100)


def ordering_of(options: QueryOptions) -> list[str]:
    return [str(entry) for entry in options.complete_ordering]


def test_it_is_the_class_of_core() -> None:
    assert QueryOptions is ports.QueryOptions
    assert SearchResult is ports.SearchResult


def test_each_step_returns_new_options() -> None:
    empty = QueryOptions()
    options = (
        empty.with_specification(ACTIVE)
        .with_pagination(limit=20, offset=40)
        .with_ordering("-total", "+name", "city")
        .with_fields(["id", "name"])
        .with_distinct()
    )
    assert empty == QueryOptions()
    assert options.specification == ACTIVE
    assert (options.limit, options.offset) == (20, 40)
    assert options.order_by == (Ordering("total", True), Ordering("name"), Ordering("city"))
    assert options.select_fields == ("id", "name")
    assert options.distinct


def test_merged_options_want_both_specifications() -> None:
    merged = QueryOptions(specification=ACTIVE).merge(QueryOptions(specification=LARGE))
    assert merged.specification == AndSpecification(ACTIVE, LARGE)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(ACTIVE, None, ACTIVE), (None, LARGE, LARGE), (None, None, None)],
)
def test_merging_with_no_specification_keeps_the_other(
    first: AttributeSpecification | None,
    second: AttributeSpecification | None,
    expected: AttributeSpecification | None,
) -> None:
    merged = QueryOptions(specification=first).merge(QueryOptions(specification=second))
    assert merged.specification is expected


def test_merged_options_are_presented_as_the_second_says_else_as_the_first() -> None:
    first = QueryOptions().with_pagination(limit=5, offset=10).with_ordering("name")
    second = QueryOptions().with_limit(0).with_aggregation("total", "sum")
    merged = first.with_aggregation("total", "max").merge(second)
    assert (merged.limit, merged.offset) == (0, 10)
    assert merged.order_by == (Ordering("name"),)
    assert [figure.key for figure in merged.aggregations] == ["total_max", "total_sum"]
    assert first.merge(QueryOptions().with_ordering("-total")).order_by == (
        Ordering("total", True),
    )


def test_merging_with_nothing_changes_nothing() -> None:
    options = QueryOptions(specification=ACTIVE).with_ordering("name").with_limit(3)
    assert options.merge(QueryOptions()) == options == QueryOptions().merge(options)


def test_merging_pages_of_two_kinds_is_refused() -> None:
    with pytest.raises(QueryOptionsError, match="exclude each other"):
        QueryOptions(offset=5).merge(QueryOptions(cursor="abc"))


def test_a_page_is_ordered_by_id_last_so_that_it_is_the_same_each_time() -> None:
    assert ordering_of(QueryOptions().with_limit(1)) == ["id"]
    assert ordering_of(QueryOptions().with_ordering("-total")) == ["-total", "id"]
    assert ordering_of(QueryOptions().with_ordering("-id", "total")) == ["-id", "total"]
    assert ordering_of(QueryOptions()) == []


@pytest.mark.parametrize("fields", [("",), ("-",), ("name", "+")])
def test_an_ordering_without_a_field_is_refused(fields: tuple[str, ...]) -> None:
    with pytest.raises(QueryOptionsError, match="names no field"):
        QueryOptions().with_ordering(*fields)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"limit": -1}, "limit is -1"),
        ({"offset": -1}, "offset is -1"),
        ({"cursor": "c", "offset": 1}, "exclude each other"),
        ({"cursor": "c", "group_by": ("a",)}, "not paged by cursor"),
        ({"select_fields": ("a",), "group_by": ("a",)}, "drop select_fields"),
    ],
)
def test_options_that_make_no_sense_are_refused(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(QueryOptionsError, match=problem):
        QueryOptions(**values)


def test_an_unknown_aggregation_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(QueryOptionsError, match=r"'summ'. Did you mean 'sum'\?"):
        QueryOptions().with_aggregation("total", "summ")


@pytest.mark.parametrize("function", AGGREGATE_FUNCTIONS)
def test_a_figure_has_a_key_made_of_field_and_function_or_of_your_own(function: str) -> None:
    options = QueryOptions().with_aggregation("total", function)
    assert options.aggregations == (Aggregation("total", function, f"total_{function}"),)
    own = QueryOptions().with_aggregation("total", function, key="figure")
    assert own.aggregations[0].key == "figure"


def test_options_are_written_with_their_specification() -> None:
    options = (
        QueryOptions(specification=ACTIVE & LARGE)
        .with_pagination(limit=2, offset=4)
        .with_ordering("-total")
        .with_grouping("city")
        .with_aggregation("total", "sum")
    )
    data = options.to_dict()
    assert SpecificationFactory().from_dict(data.pop("specification")) == ACTIVE & LARGE
    assert data == {
        "limit": 2,
        "offset": 4,
        "order_by": ["-total"],
        "group_by": ["city"],
        "aggregations": [{"field": "total", "function": "sum", "key": "total_sum"}],
    }
    assert QueryOptions().to_dict() == {"limit": None}
