"""Value objects: equal by what they hold."""

from collections.abc import Mapping, Set
from typing import Any, cast

from pydantic import BaseModel, ConfigDict


class ValueObject(BaseModel):
    """A frozen model, equal and hashed by its values, lists and dicts inside included.

    Example:
        >>> class Parcel(ValueObject):
        ...     items: list[str]
        >>> hash(Parcel(items=["a"])) == hash(Parcel(items=["a"]))
        True
    """

    model_config = ConfigDict(frozen=True)

    def __hash__(self) -> int:
        return hash((type(self), *(_hashable(value) for value in self.__dict__.values())))


def _hashable(value: Any) -> Any:
    """Return something hashable that is equal wherever ``value`` is equal."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return frozenset((key, _hashable(item)) for key, item in pairs)
    if isinstance(value, Set):
        return frozenset(_hashable(item) for item in cast("Set[Any]", value))
    if isinstance(value, list | tuple):
        return tuple(_hashable(item) for item in cast("list[Any]", value))
    if isinstance(value, BaseModel) and type(value).__hash__ is None:
        return (type(value), *(_hashable(item) for item in value.__dict__.values()))
    return value
