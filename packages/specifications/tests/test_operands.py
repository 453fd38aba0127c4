"""What an operator refuses: at once, and with the reason."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cqrs_ddd_specifications import AttributeSpecification, OperandError, Specification


def refused(operator: str, operand: Any) -> OperandError:
    with pytest.raises(OperandError) as caught:
        AttributeSpecification("field", operator, operand)
    assert (caught.value.attr, caught.value.operator) == ("field", operator)
    return caught.value


@pytest.mark.parametrize(
    ("operator", "operand", "wanted"),
    [
        ("in", "abc", "a list"),
        ("in", 5, "a list"),
        ("not_in", None, "a list"),
        ("between", [1], "lower and upper"),
        ("between", {1, 2}, "lower and upper"),
        ("not_between", [1, 2, 3], "lower and upper"),
        ("contains_any", "abc", "a list"),
        ("contains", 5, "a text"),
        ("like", ["a"], "a text"),
        ("regex", b"a", "a text"),
        ("fts", 1, "a text"),
        ("json_has_key", 1, "a text"),
        ("json_has_any", "a", "a list"),
        ("json_has_all", [1], "a list of texts"),
        ("json_has_any", ["a", None], "a list of texts"),
        ("is_null", True, "no value"),
        ("is_empty", "", "no value"),
        ("=", (1, 2), "a value"),
        (">", {1}, "a value"),
        ("intersects", "POINT (1 1)", "a GeoJSON geometry"),
        ("dwithin", {"type": "Point", "coordinates": [1, 1]}, "distance"),
        ("dwithin", [{"type": "Point", "coordinates": [1, 1]}, "1"], "distance"),
        ("distance_lt", [None, 1], "distance"),
    ],
)
def test_an_operator_says_what_it_takes(operator: str, operand: Any, wanted: str) -> None:
    assert wanted in str(refused(operator, operand))


@pytest.mark.parametrize("operator", [">", "<", ">=", "<="])
@pytest.mark.parametrize("operand", [[1], {"a": 1}])
def test_lists_and_objects_have_no_order(operator: str, operand: Any) -> None:
    assert "no order" in str(refused(operator, operand))


def test_a_range_of_lists_is_refused() -> None:
    assert "no order" in str(refused("between", [[1], [2]]))


@pytest.mark.parametrize(
    "number", [float("nan"), float("inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")]
)
def test_a_number_that_is_none_is_refused(number: Any) -> None:
    assert "no number" in str(refused("=", number))
    assert "no number" in str(refused("in", [1, number]))
    assert "no number" in str(refused("json_contains", {"a": [float("nan")]}))


@pytest.mark.parametrize("number", [Decimal("1e999999"), Decimal("1e-999999")])
def test_a_number_beyond_any_store_is_refused(number: Decimal) -> None:
    assert "any store" in str(refused("<", number))


@pytest.mark.parametrize("text", ["a\0b", "half a pair \ud800"])
def test_text_that_no_store_can_hold_is_refused(text: str) -> None:
    assert "cannot be stored" in str(refused("=", text))
    assert "cannot be stored" in str(refused("like", text))
    assert "cannot be stored" in str(refused("in", ["a", text]))


@pytest.mark.parametrize("value", [{"a": object()}, {"half a pair \ud800": 1}])
def test_an_object_that_json_cannot_hold_is_refused(value: Any) -> None:
    assert "JSON cannot hold" in str(refused("json_contains", value))


def test_a_key_that_no_store_can_hold_is_refused() -> None:
    assert "cannot be stored" in str(refused("json_contains", {"a\0b": 1}))


@pytest.mark.parametrize(
    ("value", "operator", "operand"),
    [
        (5, "=", "5"),
        ("5", ">", 4),
        (True, "=", 1),
        (1, "=", True),
        (5, "contains", "5"),
        (["a"], "like", "a"),
        ("a", "in", ["a ", 1]),
        (datetime(2024, 1, 1, tzinfo=UTC), ">", 5),
        ([1], ">", 0),
        ({"a": 1}, "<", "a"),
    ],
)
def test_a_value_of_another_kind_is_a_mistake(value: Any, operator: str, operand: Any) -> None:
    specification = AttributeSpecification("field", operator, operand)
    with pytest.raises(OperandError, match="field") as caught:
        specification.is_satisfied_by({"field": value})
    assert caught.value.to_dict()["error"] == "OperandError"


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "a{4294967296}", "(?P<n>a)(?P<n>b)"])
def test_a_broken_regular_expression_is_a_typed_error(pattern: str) -> None:
    specification = AttributeSpecification("field", "regex", pattern)
    with pytest.raises(OperandError, match="no regular expression"):
        specification.is_satisfied_by({"field": "a"})


def test_a_class_of_its_own_is_compared_by_its_own_operators() -> None:
    hour = timedelta(hours=1)
    longer = AttributeSpecification("field", ">", hour)
    assert longer.compiled({"field": 2 * hour}) is True
    assert longer.compiled({"field": hour}) is False
    with pytest.raises(OperandError, match="does not compare with a field of type timedelta"):
        AttributeSpecification("field", ">", 3600).is_satisfied_by({"field": hour})


def test_a_class_of_its_own_without_an_order_has_none() -> None:
    assert AttributeSpecification("field", "=", 1j).compiled({"field": 1j}) is True
    with pytest.raises(OperandError, match="not supported between instances of 'complex'"):
        AttributeSpecification("field", ">", 1j).is_satisfied_by({"field": 2j})


def test_a_condition_shows_what_it_says() -> None:
    shown = repr(~AttributeSpecification("field", "==", 1))
    leaf = "{'op': '=', 'attr': 'field', 'val': 1}"
    assert shown == f"NotSpecification({{'op': 'not', 'conditions': [{leaf}]}})"


def test_changing_the_operand_afterwards_changes_nothing() -> None:
    members, part = ["a"], {"a": [1]}
    one_of = AttributeSpecification("field", "in", members)
    contains: Specification = AttributeSpecification("field", "json_contains", part)
    members.append("b")
    part["a"].append(2)
    assert not one_of.is_satisfied_by({"field": "b"})
    assert contains.is_satisfied_by({"field": {"a": [1]}})


def test_equal_conditions_are_equal_and_hash_alike() -> None:
    def one_of(members: Any) -> AttributeSpecification:
        return AttributeSpecification("field", "in", members)

    assert one_of(["a", "b"]) == one_of(("a", "b"))
    assert one_of({"a", "b", "c"}) == one_of({"c", "b", "a"})
    assert len({one_of({"a", "b", "c"}), one_of({"c", "a", "b"})}) == 1
    first, second = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert AttributeSpecification("x", "=", first) == AttributeSpecification("x", "=", second)


@pytest.mark.parametrize(("first", "second"), [(1, True), (1, 1.0), (0, False), (1, "1")])
def test_conditions_on_values_of_different_types_differ(first: Any, second: Any) -> None:
    assert AttributeSpecification("x", "=", first) != AttributeSpecification("x", "=", second)
