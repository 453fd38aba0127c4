"""SQL's three-valued logic: what a null leaves unknown is not satisfied, nor is its negation."""

from typing import Any

import pytest

from cqrs_ddd_specifications import (
    AndSpecification,
    AttributeSpecification,
    NotSpecification,
    OrSpecification,
    Specification,
)

TRUE = AttributeSpecification("one", "=", 1)
FALSE = AttributeSpecification("one", "=", 2)
UNKNOWN = AttributeSpecification("nothing", "=", 1)
RECORD = {"one": 1, "nothing": None}


def truth(specification: Specification) -> bool | None:
    return specification.compiled(RECORD)


def asked(operator: str, operand: Any, value: Any) -> bool | None:
    return AttributeSpecification("field", operator, operand).compiled({"field": value})


@pytest.mark.parametrize(
    ("first", "second", "both", "either"),
    [
        (TRUE, TRUE, True, True),
        (TRUE, FALSE, False, True),
        (TRUE, UNKNOWN, None, True),
        (FALSE, TRUE, False, True),
        (FALSE, FALSE, False, False),
        (FALSE, UNKNOWN, False, None),
        (UNKNOWN, TRUE, None, True),
        (UNKNOWN, FALSE, False, None),
        (UNKNOWN, UNKNOWN, None, None),
    ],
)
def test_and_and_or_follow_sqls_truth_tables(
    first: Specification, second: Specification, both: bool | None, either: bool | None
) -> None:
    assert truth(first & second) is both
    assert truth(first | second) is either
    assert (first & second).is_satisfied_by(RECORD) is (both is True)
    assert (first | second).is_satisfied_by(RECORD) is (either is True)


@pytest.mark.parametrize(
    ("specification", "negated"), [(TRUE, False), (FALSE, True), (UNKNOWN, None)]
)
def test_not_follows_sqls_truth_table(specification: Specification, negated: bool | None) -> None:
    assert truth(~specification) is negated


def test_neither_an_unknown_condition_nor_its_negation_is_satisfied() -> None:
    assert not UNKNOWN.is_satisfied_by(RECORD)
    assert not NotSpecification(UNKNOWN).is_satisfied_by(RECORD)


def test_and_of_nothing_is_everything_and_or_of_nothing_is_nothing() -> None:
    assert truth(AndSpecification()) is True
    assert truth(OrSpecification()) is False
    assert truth(~AndSpecification()) is False
    assert truth(~OrSpecification()) is True


@pytest.mark.parametrize(
    ("operator", "operand"),
    [
        ("!=", "a"),
        ("not_in", ["a"]),
        ("not_in", []),
        ("in", []),
        ("not_like", "a%"),
        ("not_between", ["a", "b"]),
    ],
)
def test_a_null_meets_no_negative_operator_either(operator: str, operand: Any) -> None:
    specification = AttributeSpecification("field", operator, operand)
    assert specification.compiled({"field": None}) is None
    assert not specification.is_satisfied_by({"field": None})
    assert not (~specification).is_satisfied_by({"field": None})


@pytest.mark.parametrize("operator", ["=", "!=", ">", "<", ">=", "<="])
def test_nothing_compares_with_null_not_even_null(operator: str) -> None:
    assert asked(operator, None, 1) is None
    assert asked(operator, None, None) is None


def test_a_null_in_a_list_of_values_leaves_open_what_the_others_do_not_settle() -> None:
    assert asked("in", [1, None], 1) is True
    assert asked("in", [1, None], 2) is None
    assert asked("not_in", [1, None], 1) is False
    assert asked("not_in", [1, None], 2) is None
    assert asked("in", [None], 1) is None


def test_of_no_values_a_value_is_none() -> None:
    assert asked("in", [], 1) is False
    assert asked("not_in", [], 1) is True


@pytest.mark.parametrize(
    ("bounds", "value", "inside"),
    [
        ([None, 5], 3, None),
        ([None, 5], 6, False),
        ([1, None], 3, None),
        ([1, None], 0, False),
        ([None, None], 3, None),
        ([1, 5], 1, True),
        ([1, 5], 5, True),
        ([5, 1], 3, False),
    ],
)
def test_a_range_with_a_null_bound_is_settled_by_the_other_bound_alone(
    bounds: list[int | None], value: int, inside: bool | None
) -> None:
    assert asked("between", bounds, value) is inside
    assert asked("not_between", bounds, value) is (None if inside is None else not inside)


def test_a_condition_on_a_missing_key_is_a_condition_on_null() -> None:
    assert AttributeSpecification("missing", "!=", 1).compiled({}) is None
    assert AttributeSpecification("missing", "is_null").compiled({}) is True


def test_the_answer_is_a_plain_boolean() -> None:
    assert UNKNOWN.is_satisfied_by(RECORD) is False
    assert (UNKNOWN | TRUE).is_satisfied_by(RECORD) is True
