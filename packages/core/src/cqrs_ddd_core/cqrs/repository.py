"""The repository that every unit of work hands out, and its declaration."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from typing_extensions import Self

from cqrs_ddd_core.ports.aggregate_gateway import IAggregateGateway
from cqrs_ddd_core.ports.query_options import QueryOptions
from cqrs_ddd_core.ports.repository import IRepository
from cqrs_ddd_core.ports.search_result import SearchResult
from cqrs_ddd_core.ports.specification import ISpecification
from cqrs_ddd_core.primitives.errors import EntityNotFoundError

if TYPE_CHECKING:
    from cqrs_ddd_core.cqrs.unit_of_work import UnitOfWork

T = TypeVar("T")
ID = TypeVar("ID")


class Repository(Generic[T, ID]):
    """The aggregates of one type, as one unit of work sees them (see ``IRepository``)."""

    def __init__(self, uow: "UnitOfWork", gateway: IAggregateGateway[T]) -> None:
        self._uow, self._gateway = uow, gateway

    async def add(self, aggregate: T) -> ID:
        """Put ``aggregate`` into the collection and return its id."""
        self._uow.ensure_writable()
        self._uow.identities.added(self._gateway, aggregate)
        return aggregate.id  # type: ignore[attr-defined]

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
        self._uow.ensure_usable()
        await self._uow.flush()
        options = query if isinstance(query, QueryOptions) else QueryOptions(specification=query)
        return self._gateway.search(options, self._track)

    def _track(self, aggregates: Sequence[T]) -> list[T]:
        """Return the objects that stand for what was read; a query's are not tracked."""
        self._uow.ensure_usable()
        if self._uow.read_only:
            return list(aggregates)
        identities = self._uow.identities
        return [identities.loaded(self._gateway, aggregate) for aggregate in aggregates]


T_co = TypeVar("T_co", covariant=True)
ID_co = TypeVar("ID_co", covariant=True)


class AggregateClass(Protocol[T_co, ID_co]):
    """A class of aggregates, as a type checker sees it: what it makes, and its ids."""

    def __call__(self, *args: Any, **kwargs: Any) -> T_co: ...

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
    def __init__(self, aggregate_type: type[T], **options: Any) -> None: ...
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
        uow.__dict__[self._name] = found  # next time, the attribute is found before this
        return found

    def declaration(self) -> tuple[type[T], dict[str, Any]]:
        """Return the aggregate's class and the options, for schema creation."""
        return self._aggregate_type, self._options
