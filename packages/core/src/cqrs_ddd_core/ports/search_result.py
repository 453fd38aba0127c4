"""What a search found, read when it is asked for."""

from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import aclosing
from typing import Any, Generic, Protocol, TypeVar, cast, runtime_checkable

from cqrs_ddd_core.ports.cursor import encode_cursor
from cqrs_ddd_core.ports.query_options import QueryOptions
from cqrs_ddd_core.primitives.query_errors import QueryOptionsError

T = TypeVar("T")


@runtime_checkable
class SearchSource(Protocol[T]):
    """A search as a store runs it."""

    async def fetch(self) -> list[T]:
        """Return the page that was asked for."""
        ...

    def stream(self, batch_size: int) -> AsyncGenerator[list[T]]:
        """Yield the page in batches of at most ``batch_size``, not held in memory together."""
        ...

    async def count(self) -> int:
        """Return how many match, whatever the page."""
        ...

    async def aggregate(self) -> dict[str, Any]:
        """Return the figures over all that match, whatever the page."""
        ...


class SearchResult(Generic[T]):
    """What matches: ``await`` it for a list, or stream it in batches.

    With ``select_fields`` or ``group_by`` the items are dicts.
    """

    def __init__(self, source: SearchSource[T], options: QueryOptions) -> None:
        self._source, self._options = source, options
        self._items: list[T] | None = None

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self._fetch().__await__()

    async def _fetch(self) -> list[T]:
        if self._items is None:
            self._items = await self._source.fetch()
        return self._items

    async def stream(self, batch_size: int = 100) -> AsyncIterator[list[T]]:
        """Yield lists of at most ``batch_size`` items.

        Raises:
            QueryOptionsError: ``batch_size`` is not positive.
        """
        if batch_size < 1:
            raise QueryOptionsError(f"batch_size is {batch_size}; it must be 1 or more.")
        async with aclosing(self._source.stream(batch_size)) as batches:
            async for batch in batches:
                yield batch

    async def first(self) -> T | None:
        """Return the first item, or None when nothing matches."""
        items = await self._fetch()
        return items[0] if items else None

    async def total_count(self) -> int:
        """Return how many items match, whatever the limit and offset."""
        return await self._source.count()

    async def aggregations(self) -> dict[str, Any]:
        """Return the figures that ``with_aggregation`` asked for, over all that match.

        The sum, average, minimum and maximum of nothing are None, as in SQL.
        """
        return await self._source.aggregate()

    async def next_cursor(self) -> str | None:
        """Return the cursor of the next page; None when this page is the last.

        Raises:
            QueryOptionsError: the items lack a field of the ordering.
        """
        items = await self._fetch()
        if not items or self._options.limit is None or len(items) < self._options.limit:
            return None
        ordering = self._options.complete_ordering
        return encode_cursor(ordering, [_value(items[-1], entry.field) for entry in ordering])


def _value(item: Any, path: str) -> Any:
    if isinstance(item, dict):
        row = cast("dict[str, Any]", item)
        if path not in row:
            raise QueryOptionsError(
                f"A cursor needs {path!r}, which is ordered by; name it in with_fields() too."
            )
        return row[path]
    value = item
    for name in path.split("."):
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get(name)
        else:
            value = getattr(value, name, None)
    return value
