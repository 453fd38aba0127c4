"""The port through which a handler reaches its aggregates."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from cqrs_ddd_core.ports.query_options import QueryOptions
from cqrs_ddd_core.ports.search_result import SearchResult
from cqrs_ddd_core.ports.specification import ISpecification

T = TypeVar("T")
ID = TypeVar("ID")


@runtime_checkable
class IRepository(Protocol[T, ID]):
    """A collection of aggregates of one type, as of the running unit of work.

    Within one unit of work an id always gives the same object. What is added, changed or deleted
    is written when the unit of work commits, all of it or nothing.
    """

    async def add(self, aggregate: T) -> ID:
        """Put ``aggregate`` into the collection and return its id.

        An aggregate that was loaded in this unit of work is saved anyway; adding it again is no
        harm.

        Raises:
            ConcurrencyError: now or at commit, when the id is taken or the version is stale.
        """
        ...

    async def get(self, entity_id: ID) -> T | None:
        """Return the aggregate with this id, or None."""
        ...

    async def require(self, entity_id: ID) -> T:
        """Return the aggregate with this id.

        Raises:
            EntityNotFoundError: there is none.
        """
        ...

    async def delete(self, entity_id: ID) -> ID:
        """Remove the aggregate with this id.

        Raises:
            EntityNotFoundError: there is none.
        """
        ...

    async def list_all(self, ids: Sequence[ID] | None = None) -> list[T]:
        """Return the aggregates with these ids (those that exist), or all of them."""
        ...

    async def search(
        self, query: ISpecification[Any] | QueryOptions | None = None
    ) -> SearchResult[T]:
        """Return what matches; nothing is read before the result is awaited or streamed."""
        ...
