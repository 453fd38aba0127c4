"""The port of a cache."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

T = TypeVar("T")


@runtime_checkable
class ICacheService(Protocol):
    """Keeps values for a while; any of them may be gone at any time."""

    @overload
    async def get(self, key: str) -> Any | None: ...
    @overload
    async def get(self, key: str, cls: type[T]) -> T | None: ...
    async def get(self, key: str, cls: Any = None) -> Any:
        """Return the value under ``key``, read as a ``cls`` if one is given; None when gone."""
        ...

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Keep ``value`` (a model, or anything JSON can hold) for ``ttl`` seconds, or for long."""
        ...

    async def delete(self, *keys: str) -> None:
        """Forget the values under ``keys``."""
        ...

    async def get_batch(self, keys: Sequence[str], cls: type[Any] | None = None) -> list[Any]:
        """Return the values under ``keys``, in order; None for those that are gone."""
        ...

    async def set_batch(self, values: Mapping[str, Any], ttl: float | None = None) -> None:
        """Keep all of ``values`` by their keys."""
        ...

    async def clear_namespace(self, prefix: str) -> None:
        """Forget every value whose key begins with ``prefix``."""
        ...
