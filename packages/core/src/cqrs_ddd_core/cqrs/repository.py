"""The repository that every unit of work hands out, and its declaration."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, cast, overload

from typing_extensions import TypeVar

from cqrs_ddd_core.ports.aggregate_gateway import IAggregateGateway
from cqrs_ddd_core.ports.query_options import QueryOptions
from cqrs_ddd_core.ports.repository import IRepository
from cqrs_ddd_core.ports.search_result import SearchResult, SearchSource
from cqrs_ddd_core.ports.specification import ISpecification
from cqrs_ddd_core.primitives.errors import EntityNotFoundError, PersistenceError

if TYPE_CHECKING:
    from cqrs_ddd_core.cqrs.unit_of_work import UnitOfWork

T = TypeVar("T")
U = TypeVar("U")
ID = TypeVar("ID")


class Repository(Generic[T, ID]):
    """The aggregates of one type, as one unit of work sees them (see ``IRepository``)."""

    def __init__(self, uow: "UnitOfWork", gateway: IAggregateGateway[T]) -> None:
        self._uow, self._gateway = uow, gateway

    async def add(self, aggregate: T) -> ID:
        """Put ``aggregate`` into the collection and return its id.

        Raises:
            PersistenceError: it is not of this repository's type.
        """
        self._uow.ensure_writable()
        held = self._gateway.aggregate_type
        if not isinstance(aggregate, held):
            given = type(aggregate).__name__
            raise PersistenceError(
                f"This repository holds {held.__name__}, not {given}; add it to the one that is "
                f"declared with repository({given})."
            )
        self._uow.identities.added(self._gateway, aggregate)
        return cast("Any", aggregate).id

    async def get(self, entity_id: ID) -> T | None:
        """Return the aggregate with this id, or None."""
        self._uow.ensure_usable()
        entry = self._uow.identities.find(self._gateway, entity_id)
        if entry is not None:
            return None if entry.deleted else entry.aggregate
        found = await self._gateway.load([entity_id])
        return self._track(found)[0] if found else None

    async def require(self, entity_id: ID) -> T:
        """Return the aggregate with this id.

        Raises:
            EntityNotFoundError: there is none.
        """
        found = await self.get(entity_id)
        if found is None:
            raise EntityNotFoundError(self._gateway.aggregate_type.__name__, entity_id)
        return found

    async def delete(self, entity_id: ID) -> ID:
        """Remove the aggregate with this id.

        Raises:
            EntityNotFoundError: there is none.
        """
        self._uow.ensure_writable()
        await self.require(entity_id)
        entry = self._uow.identities.find(self._gateway, entity_id)
        if entry is not None:
            self._uow.identities.deleted(entry)
        return entity_id

    async def list_all(self, ids: Sequence[ID] | None = None) -> list[T]:
        """Return the aggregates with these ids (those that exist), or all of them."""
        self._uow.ensure_usable()
        await self._uow.flush()
        return self._track(await self._gateway.load(ids))

    async def search(
        self, query: ISpecification[Any] | QueryOptions | None = None
    ) -> SearchResult[T]:
        """Return what matches; nothing is read before the result is awaited or streamed."""
        options = query if isinstance(query, QueryOptions) else QueryOptions(specification=query)
        return SearchResult(await self.source(options), options)

    async def source(self, options: QueryOptions) -> SearchSource[T]:
        """Return the search behind ``search``; what was changed before takes part in it."""
        self._uow.ensure_usable()
        await self._uow.flush()
        source = self._gateway.search(options)
        rows = bool(options.select_fields or options.group_by)
        track, release = (_as_they_are, _let_go) if rows else (self._track, self._release)
        return _SearchInUnitOfWork(source, self._uow.ensure_usable, track, release)

    def _track(self, aggregates: Sequence[T]) -> list[T]:
        """Return the objects that stand for what was read; a query's are not tracked."""
        self._uow.ensure_usable()
        if self._uow.read_only:
            return list(aggregates)
        identities = self._uow.identities
        return [identities.loaded(self._gateway, aggregate) for aggregate in aggregates]

    def _release(self, aggregates: Sequence[T]) -> None:
        if not self._uow.read_only:
            self._uow.identities.release(self._gateway, aggregates)


class _SearchInUnitOfWork(Generic[T]):
    """A search that is read while its unit of work is open, and whose aggregates belong to it."""

    def __init__(
        self,
        source: SearchSource[T],
        ensure_usable: Callable[[], None],
        track: Callable[[Sequence[T]], list[T]],
        release: Callable[[Sequence[T]], None],
    ) -> None:
        self._source, self._ensure_usable = source, ensure_usable
        self._track, self._release = track, release

    async def fetch(self) -> list[T]:
        self._ensure_usable()
        return self._track(await self._source.fetch())

    async def count(self) -> int:
        self._ensure_usable()
        return await self._source.count()

    async def aggregate(self) -> dict[str, Any]:
        self._ensure_usable()
        return await self._source.aggregate()

    async def stream(self, batch_size: int) -> AsyncGenerator[list[T]]:
        """Yield tracked batches; of those passed, keep only what has changed."""
        self._ensure_usable()
        async with aclosing(self._source.stream(batch_size)) as batches:
            async for batch in batches:
                tracked = self._track(batch)
                yield tracked
                self._release(tracked)


def _as_they_are(rows: Sequence[T]) -> list[T]:
    """Return rows, which are dicts, and belong to nobody."""
    return list(rows)


def _let_go(_: Sequence[Any]) -> None:
    """Do nothing with rows that have been passed."""


T_co = TypeVar("T_co", covariant=True)
ID_co = TypeVar("ID_co", covariant=True)


class AggregateClass(Protocol[T_co, ID_co]):
    """A class of aggregates, as a type checker sees it: what it makes, and its ids."""

    def __aggregate_type__(self) -> type[T_co]: ...

    def __id_type__(self) -> type[ID_co]: ...


class repository(Generic[T, ID]):  # noqa: N801 - reads as a declaration
    """Declare a repository in the body of a unit of work.

    Args:
        aggregate_type: the class of the aggregates.
        **options: what the store wants to know of the mapping; see its own documentation.

    Example:
        >>> from cqrs_ddd_core import AggregateRoot, InMemoryUnitOfWork
        >>> class Order(AggregateRoot[str]):
        ...     total: int
        >>> class ShopUnitOfWork(InMemoryUnitOfWork):
        ...     orders = repository(Order)
    """

    @overload
    def __init__(self, aggregate_type: AggregateClass[T, ID], **options: Any) -> None: ...
    @overload
    def __init__(self: "repository[U, Any]", aggregate_type: type[U], **options: Any) -> None: ...
    def __init__(self, aggregate_type: Any, **options: Any) -> None:
        self._aggregate_type, self._options = aggregate_type, options
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, uow: None, owner: type) -> Self: ...
    @overload
    def __get__(self, uow: "UnitOfWork", owner: type) -> IRepository[T, ID]: ...
    def __get__(self, uow: "UnitOfWork | None", owner: type) -> Any:
        if uow is None:
            return self
        found = uow.repository_for(self._aggregate_type, **self._options)
        vars(uow)[self._name] = found  # next time, the attribute is found before this
        return found

    def declaration(self) -> tuple[type[T], dict[str, Any]]:
        """Return the aggregate's class and the options, for schema creation."""
        return self._aggregate_type, self._options
