"""A cache in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from cqrs_ddd_core.primitives.clock import current_clock


class InMemoryCacheService:
    """Keeps values as JSON in a dict, so that what comes out shares nothing with what went in."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[bytes, float | None]] = {}

    async def get(self, key: str, cls: Any = None) -> Any:
        """Return the value under ``key``, read as a ``cls`` if one is given; None when gone."""
        value, expires_at = self._values.get(key, (None, None))
        if value is None:
            return None
        if expires_at is not None and expires_at <= current_clock().monotonic():
            del self._values[key]
            return None
        return from_json(value) if cls is None else TypeAdapter(cls).validate_json(value)

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Keep ``value`` for ``ttl`` seconds, or until it is deleted."""
        expires_at = None if ttl is None else current_clock().monotonic() + ttl
        self._values[key] = (to_json(value), expires_at)

    async def delete(self, *keys: str) -> None:
        """Forget the values under ``keys``."""
        for key in keys:
            self._values.pop(key, None)

    async def get_batch(self, keys: Sequence[str], cls: type[Any] | None = None) -> list[Any]:
        """Return the values under ``keys``, in order; None for those that are gone."""
        return [await self.get(key, cls) for key in keys]

    async def set_batch(self, values: Mapping[str, Any], ttl: float | None = None) -> None:
        """Keep all of ``values`` by their keys."""
        for key, value in values.items():
            await self.set(key, value, ttl)

    async def clear_namespace(self, prefix: str) -> None:
        """Forget every value whose key begins with ``prefix``."""
        await self.delete(*[key for key in self._values if key.startswith(prefix)])
