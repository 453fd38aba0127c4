"""Runs a search over objects in memory: what every store must answer, said plainly."""

from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, cast

from cqrs_ddd_core.adapters.memory.fields import require_figures, require_searchable
from cqrs_ddd_core.adapters.memory.paths import value_at
from cqrs_ddd_core.ports.cursor import decode_cursor
from cqrs_ddd_core.ports.query_options import Aggregation, Ordering, QueryOptions
from cqrs_ddd_core.primitives.clock import as_utc
from cqrs_ddd_core.primitives.query_errors import (
    FieldNotFoundError,
    InvalidCursorError,
    QueryOptionsError,
)


class InMemorySearch:
    """A search over what ``candidates`` returns, all of one type (see ``SearchSource``)."""

    def __init__(
        self,
        candidates: Callable[[], Iterable[Any]],
        options: QueryOptions,
        aggregate_type: type = object,
    ) -> None:
        self._candidates, self._options, self._type = candidates, options, aggregate_type

    async def fetch(self) -> list[Any]:
        """Return the page that was asked for."""
        options = self._options
        require_searchable(self._type, options)
        if options.group_by:
            return _page(_ordered(self._groups(), options.order_by), options)
        items = _ordered(self._matching(), options.complete_ordering)
        if options.cursor is not None:
            items = _behind(items, options.complete_ordering, options.cursor)
        if not options.select_fields:
            return _page(items, options)
        rows = [{field: value_at(item, field) for field in options.select_fields} for item in items]
        return _page(_distinct(rows) if options.distinct else rows, options)

    async def stream(self, batch_size: int) -> AsyncGenerator[list[Any]]:
        """Yield the page in batches."""
        items = await self.fetch()
        for start in range(0, len(items), batch_size):
            yield items[start : start + batch_size]

    async def count(self) -> int:
        """Return how many match, whatever the page."""
        return len(self._groups()) if self._options.group_by else len(self._matching())

    async def aggregate(self) -> dict[str, Any]:
        """Return the figures over all that match."""
        require_figures(self._type, self._options)
        return _figures(self._matching(), self._options.aggregations)

    def _matching(self) -> list[Any]:
        specification = self._options.specification
        if specification is None:
            return list(self._candidates())
        return [item for item in self._candidates() if specification.is_satisfied_by(item)]

    def _groups(self) -> list[dict[str, Any]]:
        fields = self._options.group_by
        groups: dict[tuple[Any, ...], list[Any]] = {}
        for item in self._matching():
            groups.setdefault(tuple(_group_key(item, field) for field in fields), []).append(item)
        return [
            {**dict(zip(fields, key, strict=True)), **_figures(items, self._options.aggregations)}
            for key, items in groups.items()
        ]


def _ordered(items: list[Any], ordering: Sequence[Ordering]) -> list[Any]:
    for entry in reversed(ordering):
        try:
            items = sorted(
                items, key=lambda item: _rank(_read(item, entry.field)), reverse=entry.descending
            )
        except TypeError as error:
            raise QueryOptionsError(
                f"The values of {entry.field!r} have no order among each other: {error}."
            ) from error
    return items


def _read(item: Any, field: str) -> Any:
    """Return a value of an item; a group is a dict whose keys may contain dots."""
    if not isinstance(item, dict):
        return value_at(item, field)
    group = cast("dict[str, Any]", item)
    if field not in group:
        raise FieldNotFoundError(field, group)
    return group[field]


def _rank(value: Any) -> tuple[bool, Any]:
    """Return what orders values: null is greater than everything."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, datetime):
        value = as_utc(value)
    return (True, 0) if value is None else (False, value)


def _behind(items: list[Any], ordering: Sequence[Ordering], cursor: str) -> list[Any]:
    """Return the items behind the one that ``cursor`` stands for."""
    values = decode_cursor(ordering, cursor)

    def is_behind(item: Any) -> bool:
        for entry, value in zip(ordering, values, strict=True):
            own, other = _rank(_read(item, entry.field)), _rank(value)
            if own != other:
                return own < other if entry.descending else own > other
        return False

    try:
        return [item for item in items if is_behind(item)]
    except TypeError as error:
        raise InvalidCursorError("its values do not compare with the items'") from error


def _page(items: list[Any], options: QueryOptions) -> list[Any]:
    end = None if options.limit is None else options.offset + options.limit
    return items[options.offset : end]


def _distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    unique: list[dict[str, Any]] = []
    for row in rows:
        if row not in unique:
            unique.append(row)
    return unique


def _figures(items: Sequence[Any], aggregations: Sequence[Aggregation]) -> dict[str, Any]:
    return {
        figure.key: _figure(figure, [value_at(item, figure.field) for item in items])
        for figure in aggregations
    }


def _figure(figure: Aggregation, values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    if figure.function == "count":
        return len(known)
    if not known:
        return None
    if figure.function in {"sum", "avg"} and not all(map(_is_number, known)):
        raise QueryOptionsError(f"The {figure.function} of {figure.field!r} needs numbers there.")
    if figure.function == "avg":
        return average(sum(known), len(known))
    functions: dict[str, Callable[[list[Any]], Any]] = {"sum": sum, "min": min, "max": max}
    try:
        return functions[figure.function](known)
    except TypeError as error:
        raise QueryOptionsError(
            f"The {figure.function} of {figure.field!r} needs values that compare: {error}."
        ) from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _group_key(item: Any, field: str) -> Hashable:
    value = value_at(item, field)
    if not isinstance(value, Hashable):
        raise QueryOptionsError(f"The values of {field!r} cannot be grouped; name a field in them.")
    return value


def average(total: Any, number: int) -> Any:
    """Return the average that every store gives: exact for Decimal, else a float."""
    return total / number if isinstance(total, Decimal) else float(total) / number
