"""A repository in memory that needs no unit of work, for the simplest of tests."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar, get_args

from cqrs_ddd_core.adapters.memory.database import InMemoryTable
from cqrs_ddd_core.adapters.memory.unit_of_work import InMemoryUnitOfWork
from cqrs_ddd_core.cqrs.repository import Repository
from cqrs_ddd_core.cqrs.scope import current_scope
from cqrs_ddd_core.ports.query_options import QueryOptions
from cqrs_ddd_core.ports.search_result import SearchResult
from cqrs_ddd_core.ports.specification import ISpecification

T = TypeVar("T")
ID = TypeVar("ID")


class InMemoryRepository(Generic[T, ID]):
    """Aggregates of one type in memory.

    It joins the current unit of work when that is in memory as well; else each call is a
    transaction of its own.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_core import AggregateRoot
        >>> class Order(AggregateRoot[str]):
        ...     total: int
        >>> orders = InMemoryRepository[Order, str]()
        >>> asyncio.run(orders.add(Order(id="o-1", total=3)))
        'o-1'
        >>> asyncio.run(orders.get("o-1")).total
        3
    """

    def __init__(self) -> None:
        self._table = InMemoryTable("Aggregate")

    async def add(self, aggregate: T) -> ID:
        """Put ``aggregate`` into the collection, or save it again, and return its id."""
        async with self._joined() as repository:
            return await repository.add(aggregate)

    async def get(self, entity_id: ID) -> T | None:
        """Return the aggregate with this id, or None."""
        async with self._joined() as repository:
            return await repository.get(entity_id)

    async def require(self, entity_id: ID) -> T:
        """Return the aggregate with this id, or raise ``EntityNotFoundError``."""
        async with self._joined() as repository:
            return await repository.require(entity_id)

    async def delete(self, entity_id: ID) -> ID:
        """Remove the aggregate with this id."""
        async with self._joined() as repository:
            return await repository.delete(entity_id)

    async def list_all(self, ids: Sequence[ID] | None = None) -> list[T]:
        """Return the aggregates with these ids (those that exist), or all of them."""
        async with self._joined() as repository:
            return await repository.list_all(ids)

    async def search(
        self, query: ISpecification[Any] | QueryOptions | None = None
    ) -> SearchResult[T]:
        """Return what matches."""
        async with self._joined() as repository:
            return await repository.search(query)

    def clear(self) -> None:
        """Forget all aggregates."""
        self._table.rows.clear()

    def __len__(self) -> int:
        return len(self._table.rows)

    @asynccontextmanager
    async def _joined(self) -> AsyncGenerator[Repository[T, ID]]:
        scope = current_scope()
        if scope is not None and isinstance(scope.uow, InMemoryUnitOfWork):
            yield self._of(scope.uow)
            return
        uow = InMemoryUnitOfWork()
        yield self._of(uow)
        await uow.commit()

    def _of(self, uow: InMemoryUnitOfWork) -> Repository[T, ID]:
        parameters = get_args(getattr(self, "__orig_class__", None)) or (object,)
        return uow.repository_for(parameters[0], key=self, table=self._table)
