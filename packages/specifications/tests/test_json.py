"""How JSON values contain one another."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cqrs_ddd_core import AggregateRoot, ValueObject
from cqrs_ddd_specifications import AttributeSpecification
from cqrs_ddd_specifications.json_values import json_contains, path_steps, same_json
from cqrs_ddd_specifications.testing import pools

JSON = st.recursive(
    pools.json_scalars() | st.none(),
    lambda values: (
        st.lists(values, max_size=3) | st.dictionaries(st.sampled_from("abc"), values, max_size=3)
    ),
    max_leaves=6,
)


class Currency(StrEnum):
    EUR = "EUR"


class Price(ValueObject):
    amount: Decimal
    currency: Currency


@dataclass
class Size:
    width: int


class Article(AggregateRoot[str]):
    price: Price
    size: Size
    tags: set[str]
    restocked: list[date]


ARTICLE = Article(
    id="a-1",
    price=Price(amount=Decimal("1.50"), currency=Currency.EUR),
    size=Size(width=3),
    tags={"new", "red"},
    restocked=[date(2024, 1, 1)],
)


def asked(operator: str, operand: Any, value: Any) -> bool | None:
    return AttributeSpecification("field", operator, operand).compiled({"field": value})


@pytest.mark.parametrize(
    ("document", "part", "contained"),
    [
        ({"a": 1, "b": 2}, {}, True),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, False),
        ({"a": 1}, {"a": None}, False),
        ({"a": None}, {"a": None}, True),
        ({}, {"a": None}, False),
        ([1, 2, 3], [3, 1], True),
        ([1, 2], [1, 1, 1], True),
        ([1], [], True),
        ([[1, 2]], [[2]], True),
        ([{"a": 1, "b": 2}], [{"a": 1}], True),
        ([1, 2], 1, False),
        (1, [1], False),
        ({"a": [1, 2]}, {"a": [2]}, True),
        ({"a": [1, 2]}, {"a": 1}, False),
        ("a", "a", True),
        (1, 1.0, True),
        (1, True, False),
        ([True], [1], False),
        ({"a": 1}, ["a"], False),
    ],
)
def test_objects_contain_by_key_and_lists_by_element(
    document: Any, part: Any, contained: bool
) -> None:
    assert asked("json_contains", part, document) is contained
    assert asked("json_contained_by", document, part) is contained


@given(JSON)
def test_every_document_contains_and_equals_itself(document: Any) -> None:
    assert json_contains(document, document)
    assert same_json(document, document)


@given(JSON, JSON)
def test_what_is_equal_is_contained_both_ways(one: Any, other: Any) -> None:
    if same_json(one, other):
        assert json_contains(one, other)
        assert json_contains(other, one)


@pytest.mark.parametrize(
    ("document", "keys", "some", "every"),
    [
        ({"a": 1, "b": None}, ["a", "b"], True, True),
        ({"a": 1}, ["a", "b"], True, False),
        ({"a": 1}, ["c"], False, False),
        ({"a": 1}, [], False, True),
        (["a", "b"], ["b"], True, True),
        (["a", 1], ["1"], False, False),
        ("a", ["a"], False, False),
        ({"a": {"b": 1}}, ["b"], False, False),
    ],
)
def test_keys_are_those_of_an_object_or_the_texts_of_a_list(
    document: Any, keys: list[str], some: bool, every: bool
) -> None:
    assert asked("json_has_any", keys, document) is some
    assert asked("json_has_all", keys, document) is every
    for key in keys:
        expected = isinstance(document, dict | list) and key in document
        assert asked("json_has_key", key, document) is expected


@pytest.mark.parametrize(
    ("path", "exists"),
    [
        ("$", True),
        ("$.lines", True),
        ("$.lines[0].sku", True),
        ("lines[1].note", True),
        ("$.lines[2]", False),
        ("$.lines[0].price", False),
        ("$.lines.sku", False),
        ("$.missing", False),
        ("$.lines[0].sku.x", False),
    ],
)
def test_a_path_leads_somewhere_even_to_null(path: str, exists: bool) -> None:
    document = {"lines": [{"sku": "a"}, {"note": None}]}
    assert asked("json_path_exists", path, document) is exists


def test_the_steps_of_a_path_are_keys_and_places() -> None:
    assert path_steps("$.lines[0].sku") == ["lines", "0", "sku"]
    assert path_steps("$") == []


@pytest.mark.parametrize(
    ("items", "values", "some", "every"),
    [
        (["a", "b"], ["b", "c"], True, False),
        (["a", "b"], ["a", "b"], True, True),
        (["a"], [], False, True),
        ([], ["a"], False, False),
        ([1, 2], [1.0], True, True),
        ([True], [1], False, False),
        ([{"a": 1}], [{"a": 1}], True, True),
        ([{"a": 1, "b": 2}], [{"a": 1}], False, False),
        ("abc", ["a"], False, False),
        ("abc", [], False, False),
        ({"a": 1}, ["a"], False, False),
    ],
)
def test_a_list_has_some_or_all_of_the_values(
    items: Any, values: list[Any], some: bool, every: bool
) -> None:
    assert asked("contains_any", values, items) is some
    assert asked("all", values, items) is every


@pytest.mark.parametrize(
    ("value", "operand", "equal"),
    [
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ([1], [True], False),
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1], {"a": 1}, False),
        ([1], 1, False),
        ("a", ["a"], False),
    ],
)
def test_documents_are_equal_as_json(value: Any, operand: Any, equal: bool) -> None:
    assert asked("=", operand, value) is equal
    assert asked("!=", operand, value) is not equal
    assert asked("in", [operand], value) is equal


@pytest.mark.parametrize(
    ("attr", "operator", "operand"),
    [
        ("price", "json_has_key", "amount"),
        ("price", "json_contains", {"currency": "EUR"}),
        ("price", "json_contains", {"currency": Currency.EUR}),
        ("price", "json_contains", {"amount": "1.50"}),
        ("price", "json_path_exists", "$.amount"),
        ("price", "=", Price(amount=Decimal("1.50"), currency=Currency.EUR)),
        ("price", "!=", Price(amount=Decimal("1.5"), currency=Currency.EUR)),
        ("size", "json_contains", {"width": 3}),
        ("size", "=", Size(width=3)),
        ("tags", "contains_any", {"red", "blue"}),
        ("tags", "all", ("red", "new")),
        ("tags", "is_not_empty", None),
        ("restocked", "contains_any", [date(2024, 1, 1)]),
        ("restocked", "contains_any", ["2024-01-01"]),
    ],
)
def test_nested_objects_and_sets_are_asked_as_the_json_they_are_stored_as(
    attr: str, operator: str, operand: Any
) -> None:
    specification = AttributeSpecification(attr, operator, operand)
    assert specification.compiled(ARTICLE) is True


def test_values_of_a_document_are_written_as_json() -> None:
    part = {"id": UUID(int=1), "day": date(2024, 1, 1), "price": Decimal("1.50")}
    written = AttributeSpecification("field", "json_contains", part).to_dict()["val"]
    assert written == {
        "id": "00000000-0000-0000-0000-000000000001",
        "day": "2024-01-01",
        "price": "1.50",
    }
    assert asked("json_contains", part, written) is True
