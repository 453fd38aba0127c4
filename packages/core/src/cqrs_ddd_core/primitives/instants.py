"""Reads datetimes without a zone as UTC, wherever in a value they stand."""

from collections.abc import MutableMapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, cast

from pydantic import BaseModel

from cqrs_ddd_core.primitives.clock import as_utc


def with_zones(value: Any) -> Any:
    """Return ``value`` with every naive datetime in it read as UTC; it is changed where it can be.

    Example:
        >>> with_zones([datetime(2026, 1, 1)])
        [datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)]
    """
    if isinstance(value, datetime):
        return as_utc(value) if value.tzinfo is None else value
    if isinstance(value, BaseModel):
        give_zones(value)
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        items[:] = map(with_zones, items)
    elif isinstance(value, dict):
        _change_items(cast("dict[Any, Any]", value))
    elif isinstance(value, tuple | set | frozenset):
        return _rebuilt(cast("tuple[Any, ...]", value))
    elif is_dataclass(value) and not isinstance(value, type):
        give_zones(value)
    return cast("Any", value)


def give_zones(holder: Any) -> None:
    """Read the naive datetimes among the attributes of an object, and in them, as UTC."""
    if hasattr(holder, "__dict__"):
        _change_items(cast("dict[str, Any]", vars(holder)))
        return
    for field in fields(holder):
        value = getattr(holder, field.name, None)
        changed = with_zones(value)
        if changed is not value:
            object.__setattr__(holder, field.name, changed)


def _change_items(items: MutableMapping[Any, Any]) -> None:
    for key, value in list(items.items()):
        changed = with_zones(value)
        if changed is not value:
            items[key] = changed


def _rebuilt(value: Any) -> Any:
    """Return a tuple or set with changed items; itself where none has to be changed."""
    items = list(value)
    changed = [with_zones(item) for item in items]
    if all(new is old for new, old in zip(changed, items, strict=True)):
        return value
    return type(value)(*changed) if hasattr(value, "_fields") else type(value)(changed)
