"""The unit of work in memory."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from functools import cache, cached_property
from typing import Any, Generic, TypeVar

from cqrs_ddd_core.adapters.memory.database import (
    InMemoryDatabase,
    InMemoryTable,
    InMemoryTransaction,
    Row,
    copy_of,
    stored_copy,
)
from cqrs_ddd_core.adapters.memory.search import InMemorySearch
from cqrs_ddd_core.cqrs.unit_of_work import UnitOfWork
from cqrs_ddd_core.domain.aggregate import restore_version
from cqrs_ddd_core.ports.aggregate_gateway import Change
from cqrs_ddd_core.ports.query_options import QueryOptions
from cqrs_ddd_core.ports.search_result import SearchSource

T = TypeVar("T")


class InMemoryUnitOfWork(UnitOfWork):
    """A unit of work on an ``InMemoryDatabase``: atomic, isolated, optimistic, like a real one.

    Args:
        database: what it shares with other units of work; without one, it stands alone.

    Attributes:
        committed: whether it has been committed at least once.
        rolled_back: whether it has been rolled back at least once.
    """

    committed: bool = False
    rolled_back: bool = False
    _transaction: InMemoryTransaction | None = None

    def __init__(self, database: InMemoryDatabase | None = None) -> None:
        self._database = database

    @property
    def transaction(self) -> InMemoryTransaction:
        """What has been written and not yet committed."""
        if self._transaction is None:
            self._transaction = InMemoryTransaction()
        return self._transaction

    def _gateway(self, aggregate_type: type[T], options: dict[str, Any]) -> "InMemoryGateway[T]":
        if self._database is None:
            self._database = InMemoryDatabase()
        table = options.get("table")
        if not isinstance(table, InMemoryTable):  # the name of a table is for other stores
            table = self._database.table(aggregate_type)
        return InMemoryGateway(aggregate_type, table, self.transaction)

    async def _commit(self) -> None:
        if self._transaction is not None:
            self._transaction.commit()
        self.committed = True

    async def _rollback(self) -> None:
        if self._transaction is not None:
            self._transaction.rollback()
        self.rolled_back = True

    def close_at_once(self) -> bool:
        """Close, unless something was written and not committed."""
        if self._transaction is None or self._transaction.is_empty:
            self._closed = True
        return self._closed

    async def _close(self) -> None:
        if self._transaction is not None:
            self._transaction.rollback()

    @asynccontextmanager
    async def _savepoint(self) -> AsyncGenerator[None]:
        with self.transaction.savepoint():
            yield


class InMemoryGateway(Generic[T]):
    """Aggregates of one type in one transaction in memory (see ``IAggregateGateway``)."""

    def __init__(
        self, aggregate_type: type[T], table: InMemoryTable, transaction: InMemoryTransaction
    ) -> None:
        self.aggregate_type = aggregate_type
        self._table, self._transaction = table, transaction

    def dump(self, aggregate: T) -> Any:
        """Return the fields, copied."""
        hidden = _not_state(type(aggregate))
        return deepcopy({key: value for key, value in vars(aggregate).items() if key not in hidden})

    async def load(self, ids: Sequence[Any] | None) -> list[T]:
        """Return copies of the aggregates with these ids, or of all."""
        if ids is None:
            return [_out(row) for row in self._transaction.rows(self._table).values()]
        found = (self._transaction.row(self._table, entity_id) for entity_id in dict.fromkeys(ids))
        return [_out(row) for row in found if row is not None]

    async def insert(self, changes: Sequence[Change]) -> None:
        """Write new aggregates as version 1."""
        await self.update(changes)

    async def update(self, changes: Sequence[Change]) -> None:
        """Write aggregates as ``version + 1`` where the table still holds ``version``."""
        for aggregate, _, _ in changes:
            row = Row(stored_copy(aggregate), aggregate.version + 1)
            self._transaction.write(self._table, aggregate.id, aggregate.version, row)

    async def delete(self, changes: Sequence[Change]) -> None:
        """Remove aggregates where the table still holds ``version``."""
        for aggregate, _, _ in changes:
            self._transaction.write(self._table, aggregate.id, aggregate.version, None)

    def search(self, options: QueryOptions) -> SearchSource[T]:
        """Return a search over copies of the aggregates."""
        return InMemorySearch(
            lambda: [_out(row) for row in self._transaction.rows(self._table).values()],
            options,
            self.aggregate_type,
        )


@cache
def _not_state(aggregate_type: type) -> frozenset[str]:
    """Return the attributes that are no state: events, version, and what was computed and kept."""
    computed = (
        name
        for base in aggregate_type.__mro__
        for name, value in vars(base).items()
        if isinstance(value, cached_property)
    )
    return frozenset(("_pending_events", "_version", *computed))


def _out(row: Row) -> Any:
    aggregate = copy_of(row.aggregate)
    restore_version(aggregate, row.version)
    return aggregate
