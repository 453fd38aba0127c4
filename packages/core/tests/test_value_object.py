"""Value objects: equal and hashed by what they hold, however deeply."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cqrs_ddd_core import ValueObject


class Anything(ValueObject):
    value: Any


class Other(ValueObject):
    value: Any


class Money(ValueObject):
    amount: Decimal
    currency: str

    @cached_property
    def text(self) -> str:
        return f"{self.amount} {self.currency}"


class Parcel(ValueObject):
    items: list[str]
    labels: Mapping[str, list[int]]
    price: Money


class Plain(BaseModel):
    lines: list[str]


@dataclass
class Point:
    x: int
    tags: list[str]


@dataclass(frozen=True)
class FrozenPoint:
    tags: list[str]


scalars = (
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False)
) | st.floats(allow_nan=False)
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | inner.map(lambda value: Anything(value=value))
        | st.frozensets(scalars, max_size=3).map(set)
    ),
    max_leaves=10,
)


def distinct(*values: Any) -> int:
    """Return how many different values there are, as a set sees it."""
    return len(set(values))


@given(nested)
def test_equal_values_have_equal_hashes(value: Any) -> None:
    one, same = Anything(value=value), Anything(value=deepcopy(value))
    assert one == same
    assert hash(one) == hash(same)


@given(nested, nested)
def test_values_are_one_in_a_set_exactly_when_they_are_equal(first: Any, second: Any) -> None:
    one, two = Anything(value=first), Anything(value=second)
    assert (distinct(one, two) == 1) == (one == two)


def test_a_value_object_with_lists_dicts_and_values_inside_is_a_member_of_sets() -> None:
    def parcel() -> Parcel:
        price = Money(amount=Decimal("1.10"), currency="EUR")
        return Parcel(items=["a", "b"], labels={"x": [1, 2]}, price=price)

    assert parcel() == parcel()
    assert distinct(parcel(), parcel()) == 1


@pytest.mark.parametrize("value", [Plain(lines=["a"]), Point(1, ["a"]), FrozenPoint(["a"])])
def test_models_and_dataclasses_inside_are_hashed_by_their_values(value: Any) -> None:
    assert distinct(Anything(value=value), Anything(value=deepcopy(value))) == 1


def test_the_order_of_a_dict_does_not_matter() -> None:
    one, same = Anything(value={"a": 1, "b": [2]}), Anything(value={"b": [2], "a": 1})
    assert one == same
    assert distinct(one, same) == 1


def test_a_value_object_of_another_type_is_another_value() -> None:
    assert Anything(value=1) != Other(value=1)
    assert distinct(Anything(value=1), Other(value=1)) == 2


def test_a_property_that_was_computed_changes_neither_equality_nor_hash() -> None:
    looked_at, fresh = (Money(amount=Decimal(1), currency="EUR") for _ in range(2))
    assert looked_at.text == "1 EUR"
    assert looked_at == fresh
    assert hash(looked_at) == hash(fresh)


def test_a_value_object_cannot_be_changed() -> None:
    money = Money(amount=Decimal(1), currency="EUR")
    with pytest.raises(ValidationError, match="frozen"):
        setattr(money, "currency", "USD")  # noqa: B010 - a type checker refuses the plain form
