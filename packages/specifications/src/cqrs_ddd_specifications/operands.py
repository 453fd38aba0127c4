"""Checks what an operator is given, before any store sees it."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

from cqrs_ddd_specifications.errors import OperandError
from cqrs_ddd_specifications.operators import (
    COMPARISONS,
    TEXT_LISTS,
    Operator,
    Takes,
    takes,
)
from cqrs_ddd_specifications.values import as_json, is_document

_LARGEST_EXPONENT = 400
_LOWER_AND_UPPER = 2
_UNORDERED = (list, dict)


def check_operand(attr: str, operator: Operator, value: Any) -> None:
    """Check that ``value`` is what ``operator`` takes, and something every store can take.

    Raises:
        OperandError: it is not.
    """
    if not _FITS[takes(operator)](value):
        raise OperandError(attr, operator, f"it takes {takes(operator).value}, not {value!r}.")
    ordered = operator in COMPARISONS - {Operator.EQ, Operator.NE}
    bounds = value if takes(operator) is Takes.PAIR else [value] if ordered else []
    if any(isinstance(bound, _UNORDERED) or is_document(bound) for bound in bounds):
        raise OperandError(attr, operator, "lists and objects have no order; use = or !=.")
    if operator in TEXT_LISTS and not all(isinstance(item, str) for item in value):
        raise OperandError(attr, operator, f"it takes a list of texts, not {value!r}.")
    problem = _problem(value)
    if problem is not None:
        raise OperandError(attr, operator, problem)


def _is_collection(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(cast("list[Any]", value)) == _LOWER_AND_UPPER


def _is_geometry_and_distance(value: Any) -> bool:
    if not _is_pair(value):
        return False
    geometry, distance = value
    is_number = isinstance(distance, int | float) and not isinstance(distance, bool)
    return is_number and is_document(geometry)


_FITS: dict[Takes, Callable[[Any], bool]] = {
    Takes.NOTHING: lambda value: value is None,
    Takes.VALUE: lambda value: not isinstance(value, set | frozenset | tuple),
    Takes.TEXT: lambda value: value is None or isinstance(value, str),
    Takes.LIST: _is_collection,
    Takes.PAIR: _is_pair,
    Takes.JSON: lambda _: True,
    Takes.GEOMETRY: lambda value: value is None or is_document(value),
    Takes.GEOMETRY_AND_DISTANCE: _is_geometry_and_distance,
}


def _problem(value: Any) -> str | None:
    """Return why no store could take ``value``, or None."""
    if isinstance(value, str):
        return _problem_of_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value!r} is no number that can be compared."
    if isinstance(value, Decimal):
        return _problem_of_decimal(value)
    if is_document(value):
        try:
            value = as_json(value)
        except ValueError:  # of pydantic's serializer, or of a text that is no UTF-8
            return f"JSON cannot hold {value!r}."
        value = [*value, *value.values()]
    if _is_collection(value):
        problems = map(_problem, cast("list[Any]", value))
        return next((problem for problem in problems if problem is not None), None)
    return None


def _problem_of_text(value: str) -> str | None:
    if "\0" in value:
        return "a text with a NUL character cannot be stored, so nothing compares with it."
    try:
        value.encode()
    except UnicodeEncodeError:
        return "a text with half a surrogate pair cannot be stored, so nothing compares with it."
    return None


def _problem_of_decimal(value: Decimal) -> str | None:
    if not value.is_finite():
        return f"{value!r} is no number that can be compared."
    if value and abs(value.adjusted()) > _LARGEST_EXPONENT:
        return f"{value!r} is too large or too small for any store."
    return None
