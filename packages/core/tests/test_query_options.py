"""What to search for: written step by step, never changed, merged, told as data."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from cqrs_ddd_core import Aggregation, Ordering, QueryOptions, QueryOptionsError


class Cheap:
    """The smallest specification that can be combined."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def is_satisfied_by(self, candidate: Any, /) -> bool:
        return candidate < self.limit

    def to_dict(self) -> dict[str, Any]:
        return {"below": self.limit}

    def __and__(self, other: "Cheap") -> "Cheap":
        return Cheap(min(self.limit, other.limit))


def test_each_step_gives_new_options_and_changes_nothing() -> None:
    options = QueryOptions()
    limited = options.with_limit(5)
    assert (options.limit, limited.limit) == (None, 5)
    with pytest.raises(FrozenInstanceError):
        setattr(limited, "limit", 6)  # noqa: B010 - a type checker refuses the plain form


def test_an_ordering_is_written_with_a_sign() -> None:
    options = QueryOptions().with_ordering("-total", "name", "+id")
    assert options.order_by == (
        Ordering("total", descending=True),
        Ordering("name"),
        Ordering("id"),
    )
    assert [str(ordering) for ordering in options.order_by] == ["-total", "name", "id"]
    for nothing in ("", "-", "+"):
        with pytest.raises(QueryOptionsError, match="names no field"):
            QueryOptions().with_ordering(nothing)


def test_an_ordering_is_made_total_by_the_id() -> None:
    assert QueryOptions().complete_ordering == ()
    assert QueryOptions().with_limit(1).complete_ordering == (Ordering("id"),)
    by_total = QueryOptions().with_ordering("total")
    assert by_total.complete_ordering == (Ordering("total"), Ordering("id"))
    by_id = QueryOptions().with_ordering("-id")
    assert by_id.complete_ordering == (Ordering("id", descending=True),)
    groups = QueryOptions().with_grouping("country").with_limit(1)
    assert groups.complete_ordering == ()


def test_distinct_dicts_cannot_be_ordered_by_what_they_do_not_have() -> None:
    options = QueryOptions().with_fields(["name"]).with_distinct()
    assert options.with_ordering("name").complete_ordering == (Ordering("name"),)
    with pytest.raises(QueryOptionsError, match="Distinct dicts cannot be ordered by 'total'"):
        _ = options.with_ordering("total").complete_ordering


def test_an_aggregation_is_named_after_field_and_function_unless_told_otherwise() -> None:
    options = QueryOptions().with_aggregation("total", "sum")
    options = options.with_aggregation("total", "max", key="dearest")
    assert options.aggregations == (
        Aggregation("total", "sum", "total_sum"),
        Aggregation("total", "max", "dearest"),
    )
    with pytest.raises(QueryOptionsError, match="Did you mean 'count'"):
        QueryOptions().with_aggregation("total", "cout")


def test_merging_meets_both_conditions_and_presents_as_the_second_says() -> None:
    first = QueryOptions(Cheap(10), limit=5, offset=2).with_ordering("name").with_fields(["name"])
    second = QueryOptions(Cheap(7)).with_ordering("-total").with_distinct()
    merged = first.merge(second)
    assert merged.specification is not None
    assert merged.specification.to_dict() == {"below": 7}
    assert (merged.limit, merged.offset, merged.distinct) == (5, 2, True)
    assert merged.order_by == (Ordering("total", descending=True),)
    assert merged.select_fields == ("name",)


def test_merging_with_nothing_keeps_everything() -> None:
    options = QueryOptions(Cheap(10)).with_pagination(limit=5, offset=2).with_ordering("name")
    options = options.with_aggregation("total", "sum")
    assert options.merge(QueryOptions()) == QueryOptions().merge(options) == options


def test_options_are_told_as_data() -> None:
    options = QueryOptions().with_specification(Cheap(10)).with_limit(5).with_ordering("-total")
    assert options.to_dict() == {
        "specification": {"below": 10},
        "limit": 5,
        "order_by": ["-total"],
    }
    assert QueryOptions().to_dict() == {"limit": None}
