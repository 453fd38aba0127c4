"""Value objects: equal by what they hold."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any, cast

from pydantic import BaseModel

from cqrs_ddd_core.primitives.frozen_model import FrozenModel


class ValueObject(FrozenModel):
    """A frozen model, equal and hashed by its values, lists and dicts inside included.

    Example:
        >>> class Parcel(ValueObject):
        ...     items: list[str]
        >>> hash(Parcel(items=["a"])) == hash(Parcel(items=["a"]))
        True
    """

    def __hash__(self) -> int:
        return hash((type(self), *_values_of(self)))


def _hashable(value: Any) -> Any:
    """Return something hashable that is equal wherever ``value`` is equal."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return frozenset((key, _hashable(item)) for key, item in pairs)
    if isinstance(value, AbstractSet):
        return frozenset(_hashable(item) for item in cast("AbstractSet[Any]", value))
    if isinstance(value, list | tuple):
        return tuple(_hashable(item) for item in cast("list[Any]", value))
    try:
        hash(value)
    except TypeError:
        if isinstance(value, BaseModel) or is_dataclass(value):
            return (_class_of(value), *_values_of(value))
        raise
    return value


def _class_of(value: object) -> type:
    return type(value)


def _values_of(value: Any) -> Iterator[Any]:
    """Yield what a model or dataclass compares; what it has computed and kept is no part of it."""
    if isinstance(value, BaseModel):
        names = list(type(value).model_fields)
    else:
        names = [field.name for field in fields(value) if field.compare]
    return (_hashable(getattr(value, name, None)) for name in names)
