"""What to search for and how to present it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, NamedTuple, Self

from cqrs_ddd_core.ports.specification import ISpecification
from cqrs_ddd_core.primitives.query_errors import QueryOptionsError

AGGREGATE_FUNCTIONS = ("sum", "avg", "min", "max", "count")


class Ordering(NamedTuple):
    """One field to order by; written ``name`` or, from high to low, ``-name``."""

    field: str
    descending: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the ordering that ``text`` writes."""
        field = text.removeprefix("-").removeprefix("+")
        if not field:
            raise QueryOptionsError(
                f"{text!r} names no field to order by; write 'name' or '-name'."
            )
        return cls(field, text.startswith("-"))

    def __str__(self) -> str:
        return f"-{self.field}" if self.descending else self.field


class Aggregation(NamedTuple):
    """One figure over all that matches, or over each group."""

    field: str
    function: str
    key: str


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """A search: condition, order, page, and what to return of each match. Immutable.

    The order is the same on every store: null is greater than everything, text goes by code
    point, and equal items are told apart by their id.

    Attributes:
        specification: what must be met; None matches everything.
        limit: how many items at most.
        offset: how many to pass over first.
        order_by: the fields to order by, the most important first.
        select_fields: return dicts of these fields instead of aggregates.
        group_by: return one dict for each combination of these fields.
        aggregations: figures; with ``group_by`` they are part of each dict.
        distinct: return equal dicts once.
        cursor: go on behind the item that ``next_cursor()`` of an earlier result stands for.

    Example:
        >>> options = QueryOptions().with_ordering("-total").with_pagination(limit=20, offset=40)
        >>> options.limit, options.offset, [str(ordering) for ordering in options.order_by]
        (20, 40, ['-total'])
    """

    specification: ISpecification[Any] | None = None
    limit: int | None = None
    offset: int = 0
    order_by: tuple[Ordering, ...] = ()
    select_fields: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ()
    aggregations: tuple[Aggregation, ...] = ()
    distinct: bool = False
    cursor: str | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 0:
            raise QueryOptionsError(f"limit is {self.limit}; it must be 0 or more.")
        if self.offset < 0:
            raise QueryOptionsError(f"offset is {self.offset}; it must be 0 or more.")
        if self.cursor is not None and self.offset:
            raise QueryOptionsError("A cursor and an offset exclude each other; drop one of them.")
        if self.cursor is not None and self.group_by:
            raise QueryOptionsError("Groups are not paged by cursor; use limit and offset.")
        if self.select_fields and self.group_by:
            raise QueryOptionsError(
                "Groups consist of the grouped fields and the aggregations; drop select_fields."
            )

    def with_specification(self, specification: ISpecification[Any] | None) -> Self:
        """Search for what meets ``specification``."""
        return replace(self, specification=specification)

    def with_limit(self, limit: int | None) -> Self:
        """Return at most ``limit`` items."""
        return replace(self, limit=limit)

    def with_pagination(self, *, limit: int | None = None, offset: int = 0) -> Self:
        """Pass over ``offset`` items and return at most ``limit``."""
        return replace(self, limit=limit, offset=offset)

    def with_cursor(self, cursor: str | None) -> Self:
        """Go on behind the item that ``cursor`` stands for."""
        return replace(self, cursor=cursor)

    def with_ordering(self, *fields: str) -> Self:
        """Order by ``fields``, the most important first; ``-name`` is from high to low."""
        return replace(self, order_by=tuple(Ordering.parse(field) for field in fields))

    def with_fields(self, fields: Iterable[str]) -> Self:
        """Return dicts of ``fields`` instead of aggregates."""
        return replace(self, select_fields=tuple(fields))

    def with_distinct(self) -> Self:
        """Return equal dicts once."""
        return replace(self, distinct=True)

    def with_grouping(self, *fields: str) -> Self:
        """Return one dict for each combination of ``fields``."""
        return replace(self, group_by=fields)

    def with_aggregation(self, field: str, function: str, *, key: str | None = None) -> Self:
        """Add the ``function`` of ``field``: sum, avg, min, max or count.

        The figure is called ``field_function``, unless ``key`` says otherwise.
        """
        if function not in AGGREGATE_FUNCTIONS:
            close = get_close_matches(function, AGGREGATE_FUNCTIONS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise QueryOptionsError(
                f"There is no aggregation {function!r}.{hint} "
                f"There are {', '.join(AGGREGATE_FUNCTIONS)}."
            )
        added = Aggregation(field, function, key or f"{field}_{function}")
        return replace(self, aggregations=(*self.aggregations, added))

    @property
    def complete_ordering(self) -> tuple[Ordering, ...]:
        """The ordering made total: equal items are told apart by their id.

        Empty where no order is asked for and none is needed.

        Raises:
            QueryOptionsError: distinct dicts are to be ordered by a field they do not have.
        """
        if self.distinct and self.select_fields:
            for ordering in self.order_by:
                if ordering.field not in self.select_fields:
                    raise QueryOptionsError(
                        f"Distinct dicts cannot be ordered by {ordering.field!r}, which they do "
                        "not have; name it in with_fields() too."
                    )
        ordered = bool(self.order_by or self.cursor or self.offset or self.limit is not None)
        plain = not (self.group_by or (self.distinct and self.select_fields))
        if ordered and plain and all(ordering.field != "id" for ordering in self.order_by):
            return (*self.order_by, Ordering("id"))
        return self.order_by

    def merge(self, other: "QueryOptions") -> "QueryOptions":
        """Return both searches in one: what meets both, presented as ``other`` says, else this."""
        return replace(
            other,
            specification=_both(self.specification, other.specification),
            limit=self.limit if other.limit is None else other.limit,
            offset=other.offset or self.offset,
            order_by=other.order_by or self.order_by,
            select_fields=other.select_fields or self.select_fields,
            group_by=other.group_by or self.group_by,
            aggregations=(*self.aggregations, *other.aggregations),
            distinct=self.distinct or other.distinct,
            cursor=other.cursor or self.cursor,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what is set, as data."""
        values: dict[str, Any] = {
            "specification": self.specification.to_dict() if self.specification else None,
            "limit": self.limit,
            "offset": self.offset,
            "order_by": [str(ordering) for ordering in self.order_by],
            "select_fields": list(self.select_fields),
            "group_by": list(self.group_by),
            "aggregations": [aggregation._asdict() for aggregation in self.aggregations],
            "distinct": self.distinct,
            "cursor": self.cursor,
        }
        return {name: value for name, value in values.items() if value or name == "limit"}


def _both(
    first: ISpecification[Any] | None, second: ISpecification[Any] | None
) -> ISpecification[Any] | None:
    if first is None or second is None:
        return first or second
    combine: Any = first
    return combine & second
