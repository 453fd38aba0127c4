"""Cursors: the place of one item in an ordering, as text for a client to bring back."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json

from cqrs_ddd_core.ports.query_options import Ordering
from cqrs_ddd_core.primitives.query_errors import InvalidCursorError

_READERS = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "Decimal": Decimal,
    "UUID": UUID,
}


def encode_cursor(ordering: Sequence[Ordering], values: Sequence[Any]) -> str:
    """Return the text that stands for the item with these ``values`` in this ``ordering``."""
    content = [[str(entry) for entry in ordering], [_tagged(value) for value in values]]
    return urlsafe_b64encode(to_json(content)).decode().rstrip("=")


def decode_cursor(ordering: Sequence[Ordering], cursor: str) -> list[Any]:
    """Return the values that ``cursor`` holds for this ``ordering``.

    Raises:
        InvalidCursorError: it was made for another ordering, or not by ``encode_cursor``.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        fields, tagged = from_json(urlsafe_b64decode(padded.encode()))
        values = [_untagged(kind, value) for kind, value in tagged]
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise InvalidCursorError("it is damaged") from error
    if fields != [str(entry) for entry in ordering] or len(values) != len(ordering):
        raise InvalidCursorError("it belongs to another ordering")
    return values


def _tagged(value: Any) -> tuple[str, Any]:
    if isinstance(value, Enum):
        value = value.value
    kind = type(value).__name__
    return (kind, str(value)) if isinstance(value, Decimal | UUID) else (kind, value)


def _untagged(kind: str, value: Any) -> Any:
    reader = _READERS.get(kind)
    if reader is None or value is None:
        if not isinstance(value, str | int | float | bool | None):
            raise TypeError(kind)
        return value
    return reader(value)
