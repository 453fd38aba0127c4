"""Writes of a projection, gathered by row and sent together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Insert,
    Table,
    and_,
    delete,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from cqrs_ddd_persistence_sqlalchemy.errors import MappingError, translated
from cqrs_ddd_persistence_sqlalchemy.types import ExactDecimal
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import SQLAlchemyUnitOfWork

DOCUMENT = "document"
_DELETES_AT_ONCE = 500
_NOTHING: ColumnElement[Any] = literal_column("0")  # aiomysql takes no parameter behind VALUES


@dataclass(slots=True)
class _Change:
    """What is to become of a row.

    Attributes:
        anew: whether what was there goes first.
        sets: values of columns.
        adds: what is added to columns.
    """

    anew: bool = False
    sets: dict[str, Any] = field(default_factory=dict[str, Any])
    adds: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_deletion(self) -> bool:
        return self.anew and not self.sets and not self.adds


class SQLAlchemyReadModelWriter:
    """Writes rows and documents of one version in one transaction (see ``IReadModelWriter``).

    However many events touch a row in a batch, it is written once. Rows are written in the order
    of their keys, so that two workers do not wait for each other.
    """

    def __init__(self, tables: Mapping[str, Table], uow: SQLAlchemyUnitOfWork) -> None:
        self._tables, self._uow = tables, uow
        self._changes: dict[str, dict[tuple[Any, ...], _Change]] = {}
        self._read: dict[tuple[str, tuple[Any, ...]], dict[str, Any] | None] = {}

    async def get(self, collection: str, key: Any) -> Mapping[str, Any] | None:
        """Return the row or document of ``key``, with what waits; None when there is none."""
        table, key = self._table(collection), _key(key)
        change = self._changes.get(collection, {}).get(key)
        row = None if change is not None and change.anew else await self._stored(table, key)
        if change is not None and not change.is_deletion:
            row = {} if row is None else dict(row)
            row |= dict(zip((c.name for c in table.primary_key), key, strict=True)) | change.sets
            for name, amount in change.adds.items():
                row[name] = (row.get(name) or 0) + amount
        if row is not None and table.info.get(DOCUMENT):
            return row[DOCUMENT]
        return row

    async def put(self, collection: str, key: Any, values: Mapping[str, Any]) -> None:
        """Make a row, or set these columns of it; replace a document by this one."""
        table = self._tables.get(collection)
        change = self._change(collection, _key(key))
        if table is not None and table.info.get(DOCUMENT):
            change.sets[DOCUMENT] = dict(values)
            return
        change.sets.update(values)
        for name in change.adds.keys() & values.keys():
            del change.adds[name]
        if not change.sets:  # the row as such
            change.sets.update(
                zip((c.name for c in self._table(collection).primary_key), _key(key), strict=True)
            )

    async def add(self, collection: str, key: Any, amounts: Mapping[str, Any]) -> None:
        """Add to numbers of a row, which begin at 0."""
        if self._table(collection).info.get(DOCUMENT):
            document = dict(await self.get(collection, key) or {})
            for name, amount in amounts.items():
                document[name] = document.get(name, 0) + amount
            await self.put(collection, key, document)
            return
        change = self._change(collection, _key(key))
        sets, adds = change.sets, change.adds
        for name, amount in amounts.items():
            if name in sets:
                sets[name] = (sets[name] or 0) + amount
            else:
                adds[name] = adds[name] + amount if name in adds else amount

    async def delete(self, collection: str, key: Any) -> None:
        """Remove a row; one that is not there is no harm."""
        self._table(collection)
        self._changes.setdefault(collection, {})[_key(key)] = _Change(anew=True)

    async def flush(self) -> None:
        """Write what waits."""
        changes, self._changes = self._changes, {}
        self._read.clear()
        try:
            for collection in sorted(changes):
                await self._write(self._table(collection), changes[collection])
        except DBAPIError as error:
            raise translated(error, "The read model") from error

    async def _write(self, table: Table, changes: dict[tuple[Any, ...], _Change]) -> None:
        keys = sorted(changes, key=_sortable)
        await self._delete(table, [key for key in keys if changes[key].anew])
        names = [column.name for column in table.primary_key]
        groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[dict[str, Any]]] = {}
        for key in keys:
            change = changes[key]
            if not change.is_deletion:
                shape = (tuple(change.sets), tuple(change.adds))
                row = {**dict(zip(names, key, strict=True)), **change.sets, **change.adds}
                groups.setdefault(shape, []).append(row)
        for (sets, adds), rows in groups.items():
            statement = _upsert(table, self._uow.engine.dialect.name, sets, adds)
            await self._uow.execute(statement, rows)

    async def _delete(self, table: Table, keys: list[tuple[Any, ...]]) -> None:
        columns = list(table.primary_key)
        for start in range(0, len(keys), _DELETES_AT_ONCE):
            some = keys[start : start + _DELETES_AT_ONCE]
            if len(columns) == 1:
                found = columns[0].in_([key[0] for key in some])
            else:
                pairs = (zip(columns, key, strict=True) for key in some)
                found = or_(*(and_(*(c == value for c, value in pair)) for pair in pairs))
            await self._uow.execute(delete(table).where(found))

    async def _stored(self, table: Table, key: tuple[Any, ...]) -> dict[str, Any] | None:
        """Return a row as the database has it; asked once a batch."""
        known = (table.name, key)
        if known not in self._read:
            columns = table.primary_key.columns
            found = select(table).where(*(c == v for c, v in zip(columns, key, strict=True)))
            try:
                row = (await self._uow.execute(found)).mappings().first()
            except DBAPIError as error:
                raise translated(error, f"The read model's {table.name}") from error
            self._read[known] = None if row is None else dict(row)
        return self._read[known]

    def _change(self, collection: str, key: tuple[Any, ...]) -> _Change:
        changes = self._changes.get(collection)
        if changes is None:
            self._table(collection)
            changes = self._changes[collection] = {}
        change = changes.get(key)
        if change is None:
            change = changes[key] = _Change()
        return change

    def _table(self, collection: str) -> Table:
        table = self._tables.get(collection)
        if table is None:
            raise MappingError(
                f"The read model has no table {collection!r}; it has {', '.join(self._tables)}."
            )
        return table


def _key(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)  # pyright: ignore[reportUnknownVariableType]


def _sortable(key: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(map(str, key))


@lru_cache(maxsize=1024)
def _upsert(table: Table, dialect: str, sets: tuple[str, ...], adds: tuple[str, ...]) -> Insert:
    """Return an INSERT that sets and adds to columns of a row that is there already."""
    own, key = table.c, [column.name for column in table.primary_key]
    if dialect in {"mysql", "mariadb"}:
        upsert = mysql.insert(table)
        new: Any = upsert.inserted
        updates = {name: new[name] for name in sets} | {n: _sum(own[n], new[n]) for n in adds}
        return upsert.on_duplicate_key_update(updates)
    factory: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement: Any = factory(table)
    new = statement.excluded
    plus = _decimal_sum if dialect == "sqlite" else _sum
    updates = {name: new[name] for name in sets} | {n: plus(own[n], new[n]) for n in adds}
    return statement.on_conflict_do_update(index_elements=key, set_=updates)


def _sum(own: Column[Any], amount: Column[Any]) -> ColumnElement[Any]:
    return func.coalesce(own, _NOTHING) + amount


def _decimal_sum(own: Column[Any], amount: Column[Any]) -> ColumnElement[Any]:
    """Add decimals as what they are, which SQLite would take for floats."""
    if isinstance(own.type, ExactDecimal):
        return func.cqrs_decimal_add(func.coalesce(own, _NOTHING), amount)
    return _sum(own, amount)
