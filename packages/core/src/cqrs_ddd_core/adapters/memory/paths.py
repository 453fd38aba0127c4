"""Reads a dotted path from objects and dicts."""

from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum, auto
from functools import lru_cache
from typing import Any
from uuid import UUID

from cqrs_ddd_core.primitives.query_errors import FieldNotFoundError

_SCALARS = (str, bytes, int, float, Decimal, date, time, timedelta, UUID, Enum)
_COLLECTIONS = (list, tuple, set, frozenset)
_MISSING = object()


class _Kind(Enum):
    """What a step of a path meets."""

    OBJECT = auto()
    MAPPING = auto()
    COLLECTION = auto()
    SCALAR = auto()


def value_at(item: Any, path: str) -> Any:
    """Return what stands at ``path``: attributes of objects, keys of mappings.

    A key that a mapping lacks, and whatever is below None or below a list, is None.

    Raises:
        FieldNotFoundError: an object has no such field; methods and private names are none.

    Example:
        >>> value_at({"address": {"city": "Riga"}}, "address.city")
        'Riga'
    """
    return located(item, path)[0]


def located(item: Any, path: str) -> tuple[Any, bool]:
    """Return what stands at ``path``, and whether it stands inside a document.

    A document is a mapping that is a field's value: just the data says what is in it, so nothing
    is missing there; it is None.

    Raises:
        FieldNotFoundError: an object has no such field; methods and private names are none.
    """
    value, in_document = item, False
    names = path.split(".")
    for position, name in enumerate(names):
        if value is None:
            break
        kind = _kind(value.__class__)
        if kind is _Kind.OBJECT:
            value = _attribute(value, name, names, position)
        elif kind is _Kind.MAPPING:
            value = value.get(name)
            in_document = in_document or position > 0
        elif kind is _Kind.SCALAR and not in_document:
            raise FieldNotFoundError(path, ())
        else:
            return None, True
    return value, in_document


@lru_cache(maxsize=1024)
def _kind(value_type: type[Any]) -> _Kind:
    """Return the kind of a type's values, looked up once a type."""
    if issubclass(value_type, Mapping):
        return _Kind.MAPPING
    if value_type in _COLLECTIONS:
        return _Kind.COLLECTION
    return _Kind.SCALAR if issubclass(value_type, _SCALARS) else _Kind.OBJECT


def _attribute(value: Any, name: str, names: list[str], position: int) -> Any:
    """Return a field of an object; a path may come from a stranger, so nothing but fields."""
    found = _MISSING if name[:1] == "_" else getattr(value, name, _MISSING)
    if found is _MISSING or callable(found):
        known = [".".join([*names[:position], field]) for field in _fields_of(value)]
        raise FieldNotFoundError(".".join(names), known)
    return found


def _fields_of(value: Any) -> list[str]:
    kinds = ("__dict__", "_fields", "__slots__")  # of objects, named tuples, and with slots
    names = next(filter(None, (getattr(value, kind, ()) for kind in kinds)), ())
    return [name for name in names if not name.startswith("_")]
