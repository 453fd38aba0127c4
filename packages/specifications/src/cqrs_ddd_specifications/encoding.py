"""Values of specifications as data, their types kept."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

from cqrs_ddd_specifications.errors import SpecificationFormatError
from cqrs_ddd_specifications.values import as_json, is_document

_READERS: dict[str, Callable[[str], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "decimal": Decimal,
    "uuid": UUID,
}
_NAMES: dict[type, str] = {datetime: "datetime", date: "date", Decimal: "decimal", UUID: "uuid"}


def encoded_value(value: Any) -> dict[str, Any]:
    """Return ``val``, and ``value_type`` where JSON has no such type: one name, or one an item."""
    if isinstance(value, Enum):
        value = value.value
    if is_document(value):
        return {"val": as_json(value)}
    if isinstance(value, set | frozenset):
        value = sorted(cast("set[Any]", value), key=repr)
    if isinstance(value, list | tuple):
        items = [encoded_value(item) for item in cast("list[Any]", value)]
        encoded: dict[str, Any] = {"val": [item["val"] for item in items]}
        types = [item.get("value_type") for item in items]
        if any(types):
            encoded["value_type"] = types
        return encoded
    name = _NAMES.get(cast("type[Any]", type(value)))
    if name is None:
        return {"val": value}
    return {
        "val": str(value) if name in {"decimal", "uuid"} else value.isoformat(),
        "value_type": name,
    }


def decoded_value(data: dict[str, Any], path: str) -> Any:
    """Return the value that ``encoded_value`` wrote.

    Raises:
        SpecificationFormatError: ``val`` does not fit ``value_type``.
    """
    value, kind = data.get("val"), data.get("value_type")
    if kind is None or value is None:
        return value
    if isinstance(kind, list) and isinstance(value, list):
        items, kinds = cast("list[Any]", value), cast("list[Any]", kind)
        if len(items) != len(kinds):
            raise SpecificationFormatError(path, "value_type has one entry for each of 'val'.")
        pairs = zip(items, kinds, strict=True)
        return [decoded_value({"val": item, "value_type": name}, path) for item, name in pairs]
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise SpecificationFormatError(
            path, f"value_type is one of {sorted(_READERS)}, not {kind!r}."
        )
    try:
        return reader(str(value))
    except (ValueError, ArithmeticError) as error:
        raise SpecificationFormatError(path, f"{value!r} is no {kind}.") from error
