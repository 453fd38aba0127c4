"""Dates and times: naive is UTC, zones do not matter, dates and times are not the same."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cqrs_ddd_specifications import AttributeSpecification, OperandError
from cqrs_ddd_specifications.testing import pools

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
NAIVE_NOON = NOON.replace(tzinfo=None)
NOON_IN_RIGA = NOON.astimezone(timezone(timedelta(hours=3)))
MIDNIGHT = datetime(2024, 6, 1, tzinfo=UTC)
DAY = date(2024, 6, 1)


def asked(operator: str, operand: Any, value: Any) -> bool | None:
    return AttributeSpecification("field", operator, operand).compiled({"field": value})


@pytest.mark.parametrize("value", [NOON, NAIVE_NOON, NOON_IN_RIGA])
@pytest.mark.parametrize(
    "operand",
    [
        *(NOON, NAIVE_NOON, NOON_IN_RIGA),
        *("2024-06-01T12:00:00Z", "2024-06-01T15:00:00+03:00", "2024-06-01 12:00:00"),
    ],
)
def test_the_same_instant_is_equal_however_it_is_written(value: Any, operand: Any) -> None:
    assert asked("=", operand, value) is True
    assert asked("!=", operand, value) is False
    assert asked("in", [None, operand], value) is True
    assert asked("between", [operand, operand], value) is True


@given(pools.instants(), pools.instants())
def test_times_are_ordered_by_instant_whatever_their_zones(one: datetime, other: datetime) -> None:
    assert asked(">", other, one) is (one > other)
    assert asked("<=", other.isoformat(), one) is (one <= other)
    naive = other.astimezone(UTC).replace(tzinfo=None)
    assert asked("<", naive, one) is (one < other)


@pytest.mark.parametrize("operand", [DAY, "2024-06-01"])
def test_a_date_given_to_a_time_is_its_midnight_in_utc(operand: Any) -> None:
    assert asked("=", operand, MIDNIGHT) is True
    assert asked(">", operand, NOON) is True
    assert asked("between", [operand, operand], NOON) is False


def test_a_day_is_found_by_a_range_of_times_that_ends_before_the_next() -> None:
    specification = AttributeSpecification("field", ">=", "2024-06-01") & AttributeSpecification(
        "field", "<", "2024-06-02"
    )
    late = datetime(2024, 6, 1, 23, 59, 59, 999999, tzinfo=UTC)
    assert specification.is_satisfied_by({"field": late})
    assert not specification.is_satisfied_by({"field": late + timedelta(microseconds=1)})


def test_a_microsecond_makes_a_difference() -> None:
    assert asked("=", NOON + timedelta(microseconds=1), NOON) is False


@pytest.mark.parametrize("operand", [DAY, "2024-06-01"])
def test_a_date_field_takes_dates_and_their_text(operand: Any) -> None:
    assert asked("=", operand, DAY) is True
    assert asked("<", operand, DAY) is False
    assert asked("in", [operand], DAY) is True


@pytest.mark.parametrize("operand", [NOON, "2024-06-01T12:00:00Z", "yesterday", 20240601, True])
def test_a_date_field_takes_nothing_else(operand: Any) -> None:
    with pytest.raises(OperandError, match="field of type date"):
        asked("=", operand, DAY)


@pytest.mark.parametrize("operand", ["yesterday", "", 1717243200, True])
def test_a_time_field_takes_no_text_that_is_no_time_and_no_number(operand: Any) -> None:
    with pytest.raises(OperandError, match="field of type datetime"):
        asked("=", operand, NOON)


@pytest.mark.parametrize(
    "operand", [datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "0001-01-01T00:00+01:00"]
)
def test_a_time_that_utc_cannot_say_is_a_typed_error(operand: Any) -> None:
    with pytest.raises(OperandError):
        asked("=", operand, NOON)


@given(st.lists(pools.dates() | pools.instants(), max_size=4), pools.instants())
def test_a_list_may_mix_dates_and_times(operands: list[date], value: datetime) -> None:
    expected = any(asked("=", operand, value) for operand in operands)
    assert asked("in", operands, value) is expected


def test_text_in_untyped_json_is_read_as_the_time_that_is_asked_for() -> None:
    record = {"data": {"at": "2024-06-01T15:00:00+03:00", "day": "2024-06-01", "bad": "soon"}}
    assert AttributeSpecification("data.at", "=", NOON).compiled(record) is True
    assert AttributeSpecification("data.day", "<", date(2024, 6, 2)).compiled(record) is True
    assert AttributeSpecification("data.bad", "<", NOON).compiled(record) is None
