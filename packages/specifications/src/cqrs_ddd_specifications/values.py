"""What values mean to a field of a certain type, the same in memory and in every database."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from cqrs_ddd_core.primitives.clock import as_utc
from cqrs_ddd_specifications.errors import OperandError

_PLAIN = frozenset({str, int, float, bool, Decimal, datetime, date, UUID, type(None)})


def plain(value: Any) -> Any:
    """Return ``value`` with enums by their values, sets and tuples as lists, objects as JSON."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in cast("list[Any]", value)]
    return as_json(value) if is_document(value) else value


def is_document(value: Any) -> bool:
    """Whether ``value`` is a dict, a model or a dataclass, which a store keeps as JSON."""
    return isinstance(value, dict | BaseModel) or (
        dataclasses.is_dataclass(value) and not isinstance(value, type)
    )


def as_json(value: Any) -> Any:
    """Return ``value`` as JSON holds it: decimals, dates and UUIDs are text there."""
    return to_jsonable_python(value)


def coerced(value: Any, field_type: type, attr: str, operator: str) -> Any:
    """Return ``value`` as something that compares with a field of ``field_type``.

    Text is read as a date, a datetime or a UUID where the field is one; a naive datetime is UTC;
    numbers of all kinds compare with each other by their decimal text. Nothing else is converted.

    Raises:
        OperandError: the two do not compare.
    """
    if value is None:
        return None
    convert = next((_CONVERTERS[base] for base in field_type.__mro__ if base in _CONVERTERS), None)
    if convert is None:
        if isinstance(value, field_type) or field_type is object:
            return value
        raise OperandError(attr, operator, _mismatch(field_type, value))
    try:
        return convert(value)
    except (ValueError, ArithmeticError) as error:
        raise OperandError(attr, operator, _mismatch(field_type, value)) from error


def _mismatch(field_type: type, value: Any) -> str:
    return f"{value!r} does not compare with a field of type {field_type.__name__}."


def _number(value: Any) -> Any:
    """Return a number as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(value)  # noqa: TRY004 - reported as one kind of mismatch
    return value


def _whole(value: Any) -> Any:
    number = _number(value)
    return Decimal(repr(number)) if isinstance(number, float) else number


def _float(value: Any) -> float:
    return float(_number(value))


def _decimal(value: Any) -> Decimal:
    number = _number(value)
    return number if isinstance(number, Decimal) else Decimal(repr(number))


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(value)  # noqa: TRY004 - reported as one kind of mismatch
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(value)  # noqa: TRY004
    return str(value)


def _datetime(value: Any) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return as_utc(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError(value)


def _date(value: Any) -> date:
    if isinstance(value, str):
        return date.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError(value)


def _uuid(value: Any) -> UUID:
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        return UUID(value)
    raise ValueError(value)


_CONVERTERS: dict[type, Callable[[Any], Any]] = {
    bool: _bool,
    int: _whole,
    float: _float,
    Decimal: _decimal,
    str: _text,
    datetime: _datetime,
    date: _date,
    UUID: _uuid,
}
