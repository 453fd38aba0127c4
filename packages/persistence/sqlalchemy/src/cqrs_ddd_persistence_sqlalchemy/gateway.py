"""Aggregates of one type in one SQL transaction."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from cqrs_ddd_core.ports import Change, QueryOptions, SearchSource
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_persistence_sqlalchemy.errors import (
    UniqueViolationError,
    is_key_conflict,
    is_unique_violation,
    translated,
)
from cqrs_ddd_persistence_sqlalchemy.mapping import ID, VERSION, IMapping
from cqrs_ddd_persistence_sqlalchemy.prepared import Prepared
from cqrs_ddd_persistence_sqlalchemy.search import SQLAlchemySearch
from cqrs_ddd_persistence_sqlalchemy.writes import Template, Write

if TYPE_CHECKING:
    from cqrs_ddd_persistence_sqlalchemy.unit_of_work import SQLAlchemyUnitOfWork

T = TypeVar("T")
_CHUNK = 500


class _Statements:
    """The statements of a mapping, built once."""

    def __init__(self, mapping: IMapping[Any]) -> None:
        table, id_column = mapping.table, mapping.columns[ID]
        self.id, self.version = id_column.name, mapping.columns[VERSION].name
        self.names = tuple(column.name for column in table.c)
        self.all = select(table)
        self.some = self.all.where(id_column.in_(bindparam("stored_ids", expanding=True)))
        is_it = id_column == bindparam("stored_id")
        self.one = Prepared(self.all.where(is_it))
        self.current_version = Prepared(select(mapping.columns[VERSION]).where(is_it))
        self.delete = Template(table, "delete", key=(self.id, self.version))


@lru_cache(maxsize=512)
def _statements(mapping: IMapping[Any]) -> _Statements:
    return _Statements(mapping)


class SQLAlchemyGateway(Generic[T]):
    """Reads and writes aggregates through a mapping (see ``IAggregateGateway``)."""

    def __init__(self, uow: "SQLAlchemyUnitOfWork", mapping: IMapping[T]) -> None:
        self._uow, self._mapping, self._sql = uow, mapping, _statements(mapping)
        self.aggregate_type = mapping.aggregate_type

    def dump(self, aggregate: T) -> dict[str, Any]:
        """Return the row."""
        return self._mapping.dump(aggregate)

    async def load(self, ids: Sequence[Any] | None) -> list[T]:
        """Return the aggregates with these ids, or all of them."""
        if ids is None:
            return await self._read(self._sql.all)
        if len(ids) == 1:
            return await self._one(ids[0])
        found: list[T] = []
        unique = list(dict.fromkeys(ids))
        for start in range(0, len(unique), _CHUNK):
            chunk = unique[start : start + _CHUNK]
            found += await self._read(self._sql.some, {"stored_ids": chunk})
        return found

    async def insert(self, changes: Sequence[Change]) -> None:
        """Write new aggregates as version 1."""
        rows = [{**change.state, self._sql.version: 1} for change in changes]
        template = Template(self._mapping.table, "insert", tuple(rows[0]))

        def refused(error: DBAPIError) -> Exception:
            return self._not_inserted(error, changes)

        self._uow.write(Write(template, rows, refused))

    async def update(self, changes: Sequence[Change]) -> None:
        """Write aggregates as ``version + 1`` where the table still holds ``version``."""
        key = (self._sql.id, self._sql.version)
        for change in changes:
            values = {**change.state, self._sql.version: change.aggregate.version + 1}
            del values[self._sql.id]
            template = Template(self._mapping.table, "update", tuple(values), key)
            self._change(template, change, values)

    async def delete(self, changes: Sequence[Change]) -> None:
        """Remove aggregates where the table still holds ``version``."""
        for change in changes:
            self._change(self._sql.delete, change, {})

    def search(self, options: QueryOptions) -> SearchSource[T]:
        """Return a query, to be run when its result is asked for."""
        return SQLAlchemySearch(self._uow, self._mapping, options)

    async def _one(self, entity_id: Any) -> list[T]:
        try:
            rows = await self._uow.rows(self._sql.one, {"stored_id": entity_id})
        except DBAPIError as error:
            raise translated(error, self.aggregate_type.__name__) from error
        names = self._sql.names
        return [self._mapping.restore(dict(zip(names, row, strict=True))) for row in rows]

    async def _read(self, statement: Any, parameters: Any = None) -> list[T]:
        try:
            result = await self._uow.read(statement, parameters)
        except DBAPIError as error:
            raise translated(error, self.aggregate_type.__name__) from error
        rows: Any = result.mappings()
        return [self._mapping.restore(row) for row in rows]

    def _change(self, template: Template, change: Change, values: dict[str, Any]) -> None:
        entity_id, version = change.aggregate.id, change.aggregate.version
        row = {**values, f"key_{self._sql.id}": entity_id, f"key_{self._sql.version}": version}

        def missed(connection: Connection) -> None:
            found = self._sql.current_version.scalar(connection, {"stored_id": entity_id})
            if found != version:
                raise ConcurrencyError(self._target([change]), expected=version, actual=found)

        def refused(error: DBAPIError) -> Exception:
            return self._not_written(error, [change], expected=version)

        self._uow.write(Write(template, [row], refused, missed))

    def _not_inserted(self, error: DBAPIError, changes: Sequence[Change]) -> Exception:
        table = self._mapping.table
        if isinstance(error, IntegrityError) and is_key_conflict(error, table, self._sql.id):
            return ConcurrencyError(self._target(changes), expected=0, actual=None)
        return self._not_written(error, changes, expected=0)

    def _not_written(
        self, error: DBAPIError, changes: Sequence[Change], *, expected: int
    ) -> Exception:
        if isinstance(error, IntegrityError) and is_unique_violation(error):
            return UniqueViolationError(self._mapping.table.name, str(error.orig))
        return translated(error, self._target(changes), expected=expected)

    def _target(self, changes: Sequence[Change]) -> str:
        ids = ", ".join(repr(change.aggregate.id) for change in changes[:3])
        return f"{self.aggregate_type.__name__} {ids}{' and others' if len(changes) > 3 else ''}"  # noqa: PLR2004
