"""A repository in memory that needs no unit of work, for the simplest of tests."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeVar, get_args

from cqrs_ddd_core.adapters.memory.database import InMemoryTable
from cqrs_ddd_core.adapters.memory.joining import joined_unit_of_work
from cqrs_ddd_core.adapters.memory.unit_of_work import InMemoryUnitOfWork
from cqrs_ddd_core.cqrs.repository import Repository
from cqrs_ddd_core.cqrs.standalone_repository import StandaloneRepository

T = TypeVar("T")
ID = TypeVar("ID")


class InMemoryRepository(StandaloneRepository[T, ID]):
    """Aggregates of one type in memory.

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

    def clear(self) -> None:
        """Forget all aggregates."""
        self._table.rows.clear()

    def __len__(self) -> int:
        return len(self._table.rows)

    @asynccontextmanager
    async def joined(self) -> AsyncGenerator[Repository[T, ID]]:
        """Return the repository of the current unit of work, or of one that commits at the end."""
        current = joined_unit_of_work()
        if current is not None:
            yield self._of(current)
            return
        uow = InMemoryUnitOfWork()
        yield self._of(uow)
        await uow.commit()

    def _of(self, uow: InMemoryUnitOfWork) -> Repository[T, ID]:
        parameters: tuple[Any, ...] = get_args(getattr(self, "__orig_class__", None)) or (object,)
        aggregate_type: type[T] = parameters[0]
        return uow.repository_for(aggregate_type, key=self, table=self._table)
