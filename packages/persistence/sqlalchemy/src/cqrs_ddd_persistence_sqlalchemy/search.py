"""Runs a search on a SQL database: pages, batches, counts, figures, groups."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from sqlalchemy import ColumnElement, RowMapping, Select, and_, false, func, or_, select
from sqlalchemy.exc import DBAPIError

from cqrs_ddd_core.adapters.memory.paths import value_at
from cqrs_ddd_core.ports import Ordering, QueryOptions
from cqrs_ddd_core.ports.cursor import decode_cursor, encode_cursor
from cqrs_ddd_core.primitives.query_errors import FieldNotFoundError
from cqrs_ddd_persistence_sqlalchemy.errors import translated
from cqrs_ddd_persistence_sqlalchemy.figures import Figures
from cqrs_ddd_persistence_sqlalchemy.mapping import IMapping
from cqrs_ddd_persistence_sqlalchemy.specifications import compiled, dialect_named
from cqrs_ddd_persistence_sqlalchemy.specifications.fields import resolver_of
from cqrs_ddd_persistence_sqlalchemy.specifications.missing import missing_operator

if TYPE_CHECKING:
    from cqrs_ddd_persistence_sqlalchemy.unit_of_work import SQLAlchemyUnitOfWork

T = TypeVar("T")
_NO_LIMIT = 2**63 - 1  # MariaDB and SQLite know no OFFSET without a LIMIT
Read = Callable[[Any], Any]


class SQLAlchemySearch(Generic[T]):
    """A search on one table (see ``SearchSource``)."""

    def __init__(
        self, uow: "SQLAlchemyUnitOfWork", mapping: IMapping[T], options: QueryOptions
    ) -> None:
        self._uow, self._mapping, self._options = uow, mapping, options
        self._dialect = dialect_named(uow.engine.dialect.name)
        self._resolve = resolver_of(mapping)

    async def fetch(self) -> list[Any]:
        """Return the page that was asked for."""
        statement, read = self._page(self._options)
        return [read(row) for row in await self._rows(statement)]

    async def stream(self, batch_size: int) -> AsyncGenerator[list[Any]]:
        """Yield the page in batches that the server hands out one by one."""
        if self._dialect.streams_by_page:
            async for batch in self._stream_by_page(batch_size):
                yield batch
            return
        statement, read = self._page(self._options)
        try:
            result = await self._uow.stream(statement)
            try:
                async for batch in result.mappings().partitions(batch_size):
                    yield [read(row) for row in batch]
            finally:
                await self._uow.end_stream(result)
        except DBAPIError as error:
            raise self._translated(error) from error

    async def count(self) -> int:
        """Return how many match, whatever the page."""
        options = self._options
        statement = select(func.count()).select_from(self._mapping.table)
        if options.group_by:
            groups = select(*(self._column(field) for field in options.group_by)).distinct()
            statement = select(func.count()).select_from(self._matching(groups).subquery())
            return (await self._rows(statement))[0]["count_1"]
        return (await self._rows(self._matching(statement)))[0]["count_1"]

    async def aggregate(self) -> dict[str, Any]:
        """Return the figures over all that match."""
        if not self._options.aggregations:
            return {}
        figures = Figures(self._options.aggregations, self._resolve, self._dialect)
        statement = self._matching(select(*figures.columns).select_from(self._mapping.table))
        return figures.read((await self._rows(statement))[0])

    # -- pages ---------------------------------------------------------------------------------

    def _page(self, options: QueryOptions) -> tuple[Select[Any], Read]:
        """Return the statement of a page and what reads its rows."""
        if options.group_by:
            return self._groups(options)
        if options.select_fields:
            statement, read = self._projection(options.select_fields)
            if options.distinct:
                statement = statement.distinct()
        else:
            statement, read = select(self._mapping.table), self._mapping.restore
        ordering = options.complete_ordering
        statement = self._matching(statement)
        if options.cursor is not None:
            values = decode_cursor(ordering, options.cursor)
            statement = statement.where(self._behind(ordering, values))
        for entry in ordering:
            statement = statement.order_by(*self._order(entry))
        return _cut(statement, options), read

    def _projection(self, fields: Sequence[str]) -> tuple[Select[Any], Read]:
        found = [self._resolve(name) for name in fields]
        readers = [(field.path, field.reader()) for field in found]
        columns = [self._column(name) for name in fields]
        return (
            select(*columns).select_from(self._mapping.table),
            lambda row: {path: read(row[path]) for path, read in readers},
        )

    def _groups(self, options: QueryOptions) -> tuple[Select[Any], Read]:
        statement, read_key = self._projection(options.group_by)
        figures = Figures(options.aggregations, self._resolve, self._dialect)
        statement = self._matching(statement).add_columns(*figures.columns)
        statement = statement.group_by(*(self._scalar(field) for field in options.group_by))
        known = [*options.group_by, *(figure.key for figure in options.aggregations)]
        for entry in options.order_by:
            if entry.field not in known:
                raise FieldNotFoundError(entry.field, known)
            by_figure = figures.orders.get(entry.field)
            if by_figure is None:
                statement = statement.order_by(*self._order(entry))
            else:
                statement = statement.order_by(*self._sorted(by_figure, entry, nullable=True))
        return _cut(statement, options), lambda row: {**read_key(row), **figures.read(row)}

    async def _stream_by_page(self, batch_size: int) -> AsyncGenerator[list[Any]]:
        """Read batch by batch, each behind the last, so that the connection is free in between."""
        options = self._options
        if options.group_by or (options.distinct and options.select_fields):
            rows = await self.fetch()  # without ids, there is no way to say behind which
            for start in range(0, len(rows), batch_size):
                yield rows[start : start + batch_size]
            return
        left, ordering = options.limit, options.with_limit(batch_size).complete_ordering
        options, present = _with_ordered_fields(options, ordering)
        while left is None or left > 0:
            size = batch_size if left is None else min(batch_size, left)
            statement, read = self._page(options.with_limit(size))
            batch = [read(row) for row in await self._rows(statement)]
            if not batch:
                return
            last = batch[-1]
            cursor = encode_cursor(ordering, [_at(last, entry.field) for entry in ordering])
            yield [present(item) for item in batch]
            if len(batch) < size:
                return
            options = options.with_pagination(limit=batch_size).with_cursor(cursor)
            left = None if left is None else left - len(batch)

    # -- conditions and order ------------------------------------------------------------------

    def _matching(self, statement: Select[Any]) -> Select[Any]:
        specification = self._options.specification
        if specification is None:
            return statement
        return statement.where(compiled(specification, self._resolve, self._dialect))

    def _behind(self, ordering: Sequence[Ordering], values: Sequence[Any]) -> ColumnElement[bool]:
        """Return the condition of the items behind the one with these values."""
        alternatives: list[ColumnElement[bool]] = []
        equal: list[ColumnElement[bool]] = []
        for entry, value in zip(ordering, values, strict=True):
            own = self._scalar(entry.field)
            if value is None:
                beyond = own.is_not(None) if entry.descending else None
                same = own.is_(None)
            else:
                other = self._dialect.literal(value)
                beyond = own < other if entry.descending else or_(own > other, own.is_(None))
                same = own == other
            if beyond is not None:
                alternatives.append(and_(*equal, beyond))
            equal.append(same)
        return or_(false(), *alternatives)

    def _order(self, entry: Ordering) -> list[ColumnElement[Any]]:
        field = self._resolve(entry.field)
        return self._sorted(self._scalar(entry.field), entry, nullable=field.nullable)

    def _sorted(
        self, expression: ColumnElement[Any], entry: Ordering, *, nullable: bool
    ) -> list[ColumnElement[Any]]:
        by_value = expression.desc() if entry.descending else expression.asc()
        if self._dialect.nulls_are_greatest or not nullable:
            return [by_value]
        is_null: ColumnElement[Any] = expression.is_(None)
        return [is_null.desc() if entry.descending else is_null.asc(), by_value]

    def _scalar(self, name: str) -> ColumnElement[Any]:
        """Return what a field is ordered and grouped by."""
        field = self._resolve(name)
        if field.python_type is None:
            return self._dialect.document(field)
        return self._dialect.value(field)

    def _column(self, name: str) -> ColumnElement[Any]:
        return self._scalar(name).label(name)

    # -- running -------------------------------------------------------------------------------

    async def _rows(self, statement: Select[Any]) -> Sequence[RowMapping]:
        try:
            return (await self._uow.read(statement)).mappings().all()
        except DBAPIError as error:
            raise self._translated(error) from error

    def _translated(self, error: DBAPIError) -> Exception:
        database = self._uow.engine.dialect.name
        missing = missing_operator(error, self._options.specification, database)
        name = self._mapping.aggregate_type.__name__
        return missing or translated(error, f"The search for {name}")


def _cut(statement: Select[Any], options: QueryOptions) -> Select[Any]:
    """Return the statement for the page that is asked for."""
    if options.limit is not None:
        statement = statement.limit(options.limit)
    elif options.offset:
        statement = statement.limit(_NO_LIMIT)
    return statement.offset(options.offset) if options.offset else statement


def _with_ordered_fields(
    options: QueryOptions, ordering: Sequence[Ordering]
) -> tuple[QueryOptions, Callable[[Any], Any]]:
    """Have dicts bring along what they are ordered by; return also what takes that out again."""
    asked = options.select_fields
    added = [entry.field for entry in ordering if entry.field not in asked]
    if not asked or not added:
        return options, lambda item: item
    return options.with_fields([*asked, *added]), lambda row: {name: row[name] for name in asked}


def _at(item: Any, path: str) -> Any:
    """Return a value of an aggregate, or of a dict by its full path."""
    return cast("dict[str, Any]", item)[path] if isinstance(item, dict) else value_at(item, path)
