"""Numbers of all kinds compare with each other, by their decimal text."""

from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given

from cqrs_ddd_specifications import AttributeSpecification, OperandError
from cqrs_ddd_specifications.testing import pools


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Quantity(int):
    """A whole number of a class of its own."""


def type_and_value(number: Any) -> str:
    return f"{type(number).__name__} {number}"


def asked(operator: str, operand: Any, value: Any) -> bool | None:
    return AttributeSpecification("field", operator, operand).compiled({"field": value})


@pytest.mark.parametrize(
    ("value", "operand"),
    [
        (5, 5.0),
        (5, Decimal("5.00")),
        (0.1, Decimal("0.1")),
        (5.0, 5),
        (Decimal("0.1"), 0.1),
        (Decimal("5.00"), 5),
        (2**53, float(2**53)),
        (10**30, Decimal(10) ** 30),
        (Level.HIGH, 2),
        (2, Level.HIGH),
        (Quantity(5), 5),
        (5, Quantity(5)),
    ],
    ids=type_and_value,
)
def test_the_same_number_is_equal_whatever_its_type(value: Any, operand: Any) -> None:
    assert asked("=", operand, value) is True
    assert asked("!=", operand, value) is False
    assert asked(">=", operand, value) is True
    assert asked("in", [operand], value) is True


@pytest.mark.parametrize(
    ("value", "operand"),
    [(5, 5.5), (5, Decimal("5.01")), (0.1, Decimal("0.2")), (Decimal("0.1"), 0.3), (-1, 0.0)],
)
def test_a_smaller_number_is_smaller_whatever_its_type(value: Any, operand: Any) -> None:
    assert asked("<", operand, value) is True
    assert asked(">=", operand, value) is False
    assert asked("between", [operand, operand], value) is False


def test_a_decimal_is_compared_with_a_float_as_it_is_written_not_as_it_is_stored() -> None:
    assert Decimal("0.1") != Decimal(0.1)  # noqa: RUF032 - the point
    assert asked("=", 0.1, Decimal("0.1")) is True
    assert asked("=", 0.1 + 0.2, Decimal("0.3")) is False


def test_large_whole_numbers_are_not_rounded() -> None:
    assert asked("=", 2**53, 2**53 + 1) is False
    assert asked(">", Decimal(2**53), 2**53 + 1) is True


@given(pools.decimals(), pools.decimals())
def test_decimals_are_ordered_as_python_orders_them(one: Decimal, other: Decimal) -> None:
    assert asked("<", other, one) is (one < other)
    assert asked("=", other, one) is (one == other)


@given(pools.integers(), pools.quarters())
def test_whole_numbers_and_fractions_are_ordered_together(whole: int, fraction: float) -> None:
    assert asked("<", fraction, whole) is (whole < fraction)
    assert asked("<", whole, fraction) is (fraction < whole)


@pytest.mark.parametrize(
    ("value", "operand"),
    [(1, True), (True, 1), (1, "1"), (Decimal(1), "1"), (1.5, "1.5"), ("1", 1)],
    ids=type_and_value,
)
def test_booleans_and_texts_are_no_numbers(value: Any, operand: Any) -> None:
    with pytest.raises(OperandError, match="does not compare"):
        asked("=", operand, value)


def test_booleans_compare_with_booleans() -> None:
    assert asked("=", True, True) is True
    assert asked("!=", True, False) is True
    assert asked("<", True, False) is True


@pytest.mark.parametrize("operand", [UUID(int=1), str(UUID(int=1)), UUID(int=1).hex])
def test_a_uuid_is_found_by_its_text_too(operand: Any) -> None:
    assert asked("=", operand, UUID(int=1)) is True
    assert asked("<", operand, UUID(int=0)) is True


@pytest.mark.parametrize("operand", ["not-a-uuid", 1])
def test_a_uuid_field_takes_nothing_else(operand: Any) -> None:
    with pytest.raises(OperandError, match="field of type UUID"):
        asked("=", operand, UUID(int=1))
