"""Every operator: what matches, what does not, and what a null leaves unknown."""

from typing import Any

import pytest

from cqrs_ddd_specifications import AttributeSpecification, Operator, OperatorNotFoundError
from cqrs_ddd_specifications.operators import Takes, operator_named, takes

POINT = {"type": "Point", "coordinates": [1, 1]}
INSIDE = {"type": "Point", "coordinates": [2, 2]}
FAR_POINT = {"type": "Point", "coordinates": [9, 9]}
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]}
SHIFTED = {"type": "Polygon", "coordinates": [[[2, 2], [6, 2], [6, 6], [2, 6], [2, 2]]]}
ACROSS = {"type": "LineString", "coordinates": [[-1, 2], [5, 2]]}
OUTSIDE = {"type": "LineString", "coordinates": [[4, 0], [4, 4]]}

# operator: operand, a value that matches, a value that does not
CASES: dict[Operator, tuple[Any, Any, Any]] = {
    Operator.EQ: (5, 5, 6),
    Operator.NE: (5, 6, 5),
    Operator.GT: (5, 6, 5),
    Operator.LT: (5, 4, 5),
    Operator.GE: (5, 5, 4),
    Operator.LE: (5, 5, 6),
    Operator.IN: ([1, 2], 2, 3),
    Operator.NOT_IN: ([1, 2], 3, 2),
    Operator.ALL: (["a", "b"], ["b", "c", "a"], ["a", "c"]),
    Operator.CONTAINS_ANY: (["a", "b"], ["c", "b"], ["c"]),
    Operator.BETWEEN: ([1, 3], 3, 4),
    Operator.NOT_BETWEEN: ([1, 3], 0, 1),
    Operator.LIKE: ("a%", "abc", "bac"),
    Operator.NOT_LIKE: ("a%", "bac", "abc"),
    Operator.ILIKE: ("A%", "abc", "bac"),
    Operator.CONTAINS: ("b", "abc", "ABC"),
    Operator.ICONTAINS: ("B", "abc", "ac"),
    Operator.STARTSWITH: ("ab", "abc", "Abc"),
    Operator.ISTARTSWITH: ("AB", "abc", "bc"),
    Operator.ENDSWITH: ("bc", "abc", "abC"),
    Operator.IENDSWITH: ("BC", "abc", "ab"),
    Operator.REGEX: ("b+", "abbc", "aBc"),
    Operator.IREGEX: ("B+", "abbc", "ac"),
    Operator.IS_EMPTY: (None, "", "a"),
    Operator.IS_NOT_EMPTY: (None, "a", ""),
    Operator.JSON_CONTAINS: ({"a": 1}, {"a": 1, "b": 2}, {"a": 2}),
    Operator.JSON_CONTAINED_BY: ({"a": 1, "b": 2}, {"a": 1}, {"c": 1}),
    Operator.JSON_HAS_KEY: ("a", {"a": None}, {"b": 1}),
    Operator.JSON_HAS_ANY: (["a", "b"], {"b": 1}, {"c": 1}),
    Operator.JSON_HAS_ALL: (["a", "b"], {"a": 1, "b": 1}, {"a": 1}),
    Operator.JSON_PATH_EXISTS: ("$.a.b", {"a": {"b": 1}}, {"a": {}}),
    Operator.INTERSECTS: (SQUARE, INSIDE, FAR_POINT),
    Operator.WITHIN: (SQUARE, INSIDE, FAR_POINT),
    Operator.CONTAINS_GEOM: (INSIDE, SQUARE, POINT),
    Operator.TOUCHES: (SQUARE, OUTSIDE, INSIDE),
    Operator.CROSSES: (SQUARE, ACROSS, OUTSIDE),
    Operator.OVERLAPS: (SQUARE, SHIFTED, SQUARE),
    Operator.DISJOINT: (SQUARE, FAR_POINT, INSIDE),
    Operator.GEOM_EQUALS: (POINT, POINT, INSIDE),
    Operator.DISTANCE_LT: ([POINT, 2], INSIDE, FAR_POINT),
    Operator.DWITHIN: ([POINT, 2], INSIDE, FAR_POINT),
    Operator.BBOX_INTERSECTS: (SQUARE, ACROSS, FAR_POINT),
    Operator.FTS: ("Alpha bravo", "bravo, alpha.", "bravo"),
    Operator.FTS_PHRASE: ("Alpha bravo", "an alpha bravo", "bravo alpha"),
}
ALIASES = {
    "==": "=",
    "eq": "=",
    "<>": "!=",
    "ne": "!=",
    "gt": ">",
    "lt": "<",
    "gte": ">=",
    "ge": ">=",
    "lte": "<=",
    "le": "<=",
    "nin": "not_in",
    "starts_with": "startswith",
    "ends_with": "endswith",
    "istarts_with": "istartswith",
    "iends_with": "iendswith",
    "overlap": "contains_any",
    "isnull": "is_null",
}
TAKES_NULL = {Takes.VALUE, Takes.TEXT, Takes.JSON, Takes.GEOMETRY}
NULL_TESTS = {Operator.IS_NULL, Operator.IS_NOT_NULL}
ANSWER_FOR_NULL = {Operator.IS_EMPTY: True, Operator.IS_NOT_EMPTY: False}


def asked(operator: str, operand: Any, value: Any) -> bool | None:
    return AttributeSpecification("field", operator, operand).compiled({"field": value})


def test_every_operator_has_a_case_here() -> None:
    assert CASES.keys() | NULL_TESTS == set(Operator)


@pytest.mark.parametrize("operator", CASES)
def test_a_value_matches_or_does_not(operator: Operator) -> None:
    operand, matching, other = CASES[operator]
    assert asked(operator, operand, matching) is True
    assert asked(operator, operand, other) is False


@pytest.mark.parametrize("operator", CASES)
def test_a_null_value_is_unknown_and_so_not_satisfied(operator: Operator) -> None:
    operand = CASES[operator][0]
    expected = ANSWER_FOR_NULL.get(operator)
    assert asked(operator, operand, None) is expected
    specification = AttributeSpecification("field", operator, operand)
    assert specification.is_satisfied_by({"field": None}) is (expected is True)


@pytest.mark.parametrize("operator", [op for op in CASES if takes(op) in TAKES_NULL])
def test_a_null_operand_is_unknown_whatever_the_value(operator: Operator) -> None:
    assert asked(operator, None, CASES[operator][1]) is None


def test_is_null_and_is_not_null_are_never_unknown() -> None:
    assert asked("is_null", None, None) is True
    assert asked("is_null", None, 0) is False
    assert asked("is_not_null", None, None) is False
    assert asked("is_not_null", None, "") is True


@pytest.mark.parametrize("value", ["", [], {}, None, (), set[str]()])
def test_nothing_and_what_holds_nothing_is_empty(value: Any) -> None:
    assert asked("is_empty", None, value) is True
    assert asked("is_not_empty", None, value) is False


@pytest.mark.parametrize("value", [0, 0.0, False, " ", [None], {"a": None}, {0}])
def test_zero_and_false_are_not_empty(value: Any) -> None:
    assert asked("is_empty", None, value) is False
    assert asked("is_not_empty", None, value) is True


@pytest.mark.parametrize("operator", Operator)
def test_an_operator_is_found_by_its_own_name(operator: Operator) -> None:
    assert operator_named(operator.value) is operator


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_means_the_same_and_is_written_in_one_way(alias: str, name: str) -> None:
    operator = Operator(name)
    assert operator_named(alias) is operator
    operand = CASES[operator][0] if operator in CASES else None
    specification = AttributeSpecification("field", alias, operand)
    assert specification == AttributeSpecification("field", name, operand)
    assert specification.to_dict()["op"] == name


@pytest.mark.parametrize(
    ("wrong", "suggestion"),
    [("containz", "contains"), ("IN", "in"), ("is_nul", "is_null"), ("stats_with", "starts_with")],
)
def test_an_unknown_operator_is_an_error_with_a_suggestion(wrong: str, suggestion: str) -> None:
    with pytest.raises(OperatorNotFoundError) as caught:
        AttributeSpecification("field", wrong, "a")
    assert suggestion in caught.value.suggestions
    assert f"Did you mean '{caught.value.suggestions[0]}'" in str(caught.value)


def test_an_operator_like_no_other_is_an_error_without_a_suggestion() -> None:
    with pytest.raises(OperatorNotFoundError, match=r"no operator 'xyzzy'\.$"):
        operator_named("xyzzy")


def test_a_condition_reads_attributes_and_keys_alike() -> None:
    class Order:
        total = 120

    over_100 = AttributeSpecification("total", ">", 100)
    assert over_100.is_satisfied_by(Order())
    assert over_100.is_satisfied_by({"total": 120})
    assert not over_100.is_satisfied_by({})
