"""What SQLite lacks, brought along by the connection: decimals, regular expressions, JSON tests."""

import json
import re
import sqlite3
from collections.abc import Callable
from datetime import date, datetime
from decimal import Context, Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from cqrs_ddd_core.adapters.memory.paths import value_at
from cqrs_ddd_core.primitives.clock import as_utc
from cqrs_ddd_core.primitives.query_errors import FieldNotFoundError
from cqrs_ddd_specifications import json_values, text
from cqrs_ddd_specifications.geometry import geometry_test
from cqrs_ddd_specifications.operators import Operator

DECIMAL_COLLATION = "cqrs_decimal"
_exactly = Context(prec=1000)  # digits; more than any sum has


class ToolkitConnection(sqlite3.Connection):
    """A connection on which the specifications' operators work as they do in memory."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.create_collation(DECIMAL_COLLATION, _compare_decimals)
        aggregate: Any = self.create_aggregate
        aggregate("cqrs_decimal_sum", 1, _DecimalSum)
        for name, (arguments, function) in _FUNCTIONS.items():
            self.create_function(name, arguments, _unless_null(function), deterministic=True)


def _unless_null(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        return None if None in arguments else function(*arguments)

    return call


def _compare_decimals(first: str, second: str) -> int:
    own, other = Decimal(first), Decimal(second)
    return (own > other) - (own < other)


class _DecimalSum:
    """Adds up decimals kept as text, exactly."""

    def __init__(self) -> None:
        self._sum: Decimal | None = None

    def step(self, value: str | None) -> None:
        """Take one value."""
        if value is not None:
            self._sum = _exactly.add(self._sum or Decimal(0), Decimal(value))

    def finalize(self) -> str | None:
        """Return the sum."""
        return None if self._sum is None else format(self._sum, "f")


def _decimal_add(first: str, second: str) -> str:
    return format(_exactly.add(Decimal(first), Decimal(second)), "f")


@lru_cache(maxsize=256)
def _expression(pattern: str, ignore_case: int) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE if ignore_case else 0)


@lru_cache(maxsize=256)
def _geometry(operator: str, operand: str) -> Callable[[Any], bool]:
    return geometry_test(Operator(operator), json.loads(operand), "geometry")


def _geometry_test(operator: str, document: str, operand: str) -> bool:
    return _geometry(operator, operand)(json.loads(document))


def _regex_test(value: Any, pattern: str, ignore_case: int) -> bool:
    return _expression(pattern, ignore_case).search(str(value)) is not None


def _like_test(value: Any, pattern: str, ignore_case: int) -> bool:
    return text.is_like(str(value), pattern, ignore_case=bool(ignore_case))


def _words_test(value: Any, words: str) -> bool:
    return text.has_words(str(value), words)


def _phrase_test(value: Any, words: str) -> bool:
    return text.has_phrase(str(value), words)


def _json_test(operator: str, document: str, operand: str) -> bool:
    """Answer a JSON operator as the reference does."""
    value, wanted = json.loads(document), json.loads(operand)
    if operator == Operator.EQ:
        return json_values.same_json(value, wanted)
    return json_values.JSON_TESTS[Operator(operator)](value, wanted)


def _value_in(document: str | None, path: str, kind: str) -> Any:
    """Return what stands at ``path`` as a column of ``kind`` has it; None where it is none."""
    try:
        value: Any = value_at(json.loads(document), path) if document is not None else None
    except FieldNotFoundError:  # a step below a text, a number or a list
        return None
    if value is None or kind == "json":
        return None if value is None else json.dumps(value)
    try:
        return _FORMS[kind](value)
    except (ValueError, TypeError, ArithmeticError):
        return None


def _text_of(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return value


def _truth(value: Any) -> int:
    if not isinstance(value, bool):
        raise TypeError(value)
    return int(value)


def _instant(value: Any) -> str:
    """Return a time in the form that SQLAlchemy gives it: UTC, six digits of microseconds."""
    return as_utc(datetime.fromisoformat(value)).strftime("%Y-%m-%d %H:%M:%S.%f")


_FORMS: dict[str, Callable[[Any], Any]] = {
    "str": _text_of,
    "bool": _truth,
    "int": _number,
    "float": _number,
    "Decimal": lambda value: format(Decimal(str(value)), "f"),
    "datetime": _instant,
    "date": lambda value: date.fromisoformat(value).isoformat(),
    "UUID": lambda value: UUID(value).hex,
}
_FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "cqrs_decimal_add": (2, _decimal_add),
    "cqrs_regex": (3, _regex_test),
    "cqrs_like": (3, _like_test),
    "cqrs_fts": (2, _words_test),
    "cqrs_fts_phrase": (2, _phrase_test),
    "cqrs_json": (3, _json_test),
    "cqrs_geometry": (3, _geometry_test),
    "cqrs_value": (3, _value_in),
}
