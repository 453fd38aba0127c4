"""A repository that opens a short unit of work for each call where none is running."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Generic, TypeVar

from cqrs_ddd_core.cqrs.repository import Repository
from cqrs_ddd_core.ports.query_options import QueryOptions
from cqrs_ddd_core.ports.search_result import SearchResult, SearchSource
from cqrs_ddd_core.ports.specification import ISpecification

T = TypeVar("T")
ID = TypeVar("ID")


class StandaloneRepository(ABC, Generic[T, ID]):
    """Aggregates of one type, with or without a unit of work (see ``IRepository``).

    It joins the current unit of work, which must be on the same store. Without one, each call is a
    transaction of its own, and an aggregate that was changed is saved by adding it again.
    """

    @abstractmethod
    def joined(self) -> AbstractAsyncContextManager[Repository[T, ID]]:
        """Return the repository of the current unit of work, or of one that commits at the end."""

    async def add(self, aggregate: T) -> ID:
        """Put ``aggregate`` into the collection, or save it again, and return its id."""
        async with self.joined() as repository:
            return await repository.add(aggregate)

    async def get(self, entity_id: ID) -> T | None:
        """Return the aggregate with this id, or None."""
        async with self.joined() as repository:
            return await repository.get(entity_id)

    async def require(self, entity_id: ID) -> T:
        """Return the aggregate with this id, or raise ``EntityNotFoundError``."""
        async with self.joined() as repository:
            return await repository.require(entity_id)

    async def delete(self, entity_id: ID) -> ID:
        """Remove the aggregate with this id."""
        async with self.joined() as repository:
            return await repository.delete(entity_id)

    async def list_all(self, ids: Sequence[ID] | None = None) -> list[T]:
        """Return the aggregates with these ids (those that exist), or all of them."""
        async with self.joined() as repository:
            return await repository.list_all(ids)

    async def search(
        self, query: ISpecification[Any] | QueryOptions | None = None
    ) -> SearchResult[T]:
        """Return what matches; nothing is read before the result is awaited or streamed."""
        options = query if isinstance(query, QueryOptions) else QueryOptions(specification=query)
        return SearchResult(_LaterSearch(self, options), options)


class _LaterSearch(Generic[T]):
    """A search that finds its unit of work when its result is asked for."""

    def __init__(self, repository: StandaloneRepository[T, Any], options: QueryOptions) -> None:
        self._repository, self._options = repository, options

    async def fetch(self) -> list[T]:
        async with self._repository.joined() as repository:
            return await (await self._source(repository)).fetch()

    async def stream(self, batch_size: int) -> AsyncGenerator[list[T]]:
        async with (
            self._repository.joined() as repository,
            aclosing((await self._source(repository)).stream(batch_size)) as batches,
        ):
            async for batch in batches:
                yield batch

    async def count(self) -> int:
        async with self._repository.joined() as repository:
            return await (await self._source(repository)).count()

    async def aggregate(self) -> dict[str, Any]:
        async with self._repository.joined() as repository:
            return await (await self._source(repository)).aggregate()

    async def _source(self, repository: Repository[T, Any]) -> SearchSource[T]:
        return await repository.source(self._options)
