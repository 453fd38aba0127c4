"""The repository of event-sourced aggregates."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, NoReturn, cast
from weakref import WeakKeyDictionary

from typing_extensions import TypeVar

from cqrs_ddd_advanced_core.event_sourcing.decider import Decider
from cqrs_ddd_advanced_core.event_sourcing.gateway import EventSourcedGateway, Setup
from cqrs_ddd_advanced_core.event_sourcing.journal import journal_of
from cqrs_ddd_advanced_core.event_sourcing.models import model_of
from cqrs_ddd_advanced_core.event_sourcing.reader import EventReader
from cqrs_ddd_advanced_core.snapshots import (
    ISnapshotStore,
    ISnapshotStrategy,
    JSONSnapshotSerializer,
)
from cqrs_ddd_advanced_core.upcasting import UpcasterRegistry
from cqrs_ddd_core import (
    EntityNotFoundError,
    EventTypeRegistry,
    IAggregateGateway,
    IEventStore,
    JsonMessageCodec,
    Repository,
    StreamId,
    UnitOfWork,
)
from cqrs_ddd_core.cqrs.scope import current_scope

T = TypeVar("T")


class EventSourcedRepository(Generic[T]):
    """Aggregates of one type, each kept as the stream of its events.

    It joins the current unit of work, beside state-stored aggregates: within it an id gives one
    object, what was recorded is appended when it commits, and a stream that somebody else has
    moved refuses the commit. Without a unit of work each call stands alone, and ``add`` saves.

    Args:
        event_store: keeps the events.
        aggregate_cls: the class, with ``apply_`` methods, or a ``Decider``.
        snapshot_store: keeps snapshots.
        snapshot_strategy: when to take them.
        snapshot_serializer: encodes them; JSON by default.
        event_registry: the classes of the events; by default those that the ``apply_`` methods are
            annotated with, or that the decider names.
        upcaster_registry: brings old events to the schema of today; its chains are checked here.
        tenant_of: returns the tenant of the moment; by default there are none.

    Raises:
        UpcasterChainError: old events could not be read.
        EventSourcingError: the events of the class cannot be told.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_advanced_core.event_sourcing import EventSourcedAggregate
        >>> from cqrs_ddd_core import DomainEvent, InMemoryEventStore
        >>> class Deposited(DomainEvent):
        ...     amount: int
        >>> class Account(EventSourcedAggregate[str]):
        ...     balance: int = 0
        ...     def apply_Deposited(self, event: Deposited) -> None:
        ...         self.balance += event.amount
        >>> types = EventTypeRegistry()
        >>> types.add(Deposited)
        >>> async def main():
        ...     accounts = EventSourcedRepository(
        ...         event_store=InMemoryEventStore(), aggregate_cls=Account, event_registry=types
        ...     )
        ...     account = Account(id="a-1")
        ...     account.record(Deposited(amount=5))
        ...     await accounts.add(account)
        ...     found = await accounts.require("a-1")
        ...     return found.balance, found.version
        >>> asyncio.run(main())
        (5, 1)
    """

    def __init__(
        self,
        *,
        event_store: IEventStore,
        aggregate_cls: type[T] | Decider[Any, Any, Any],
        snapshot_store: ISnapshotStore | None = None,
        snapshot_strategy: ISnapshotStrategy | None = None,
        snapshot_serializer: JSONSnapshotSerializer | None = None,
        event_registry: EventTypeRegistry | None = None,
        upcaster_registry: UpcasterRegistry | None = None,
        tenant_of: Callable[[], str] = lambda: "",
    ) -> None:
        model = model_of(aggregate_cls)
        event_types = event_registry or model.event_types()
        if upcaster_registry is not None:
            upcaster_registry.validate(event_types)
        self._setup = Setup(
            model=model,
            event_store=event_store,
            event_types=event_types,
            reader=EventReader(event_types, upcaster_registry),
            codec=JsonMessageCodec(),
            snapshot_store=snapshot_store,
            snapshot_strategy=snapshot_strategy,
            serializer=snapshot_serializer or JSONSnapshotSerializer(),
        )
        self._tenant_of = tenant_of
        self._repositories: WeakKeyDictionary[UnitOfWork, dict[str, Repository[Any, Any]]] = (
            WeakKeyDictionary()
        )

    @property
    def aggregate_type(self) -> str:
        """The name of the aggregates' type, as their streams carry it."""
        return self._setup.model.name

    async def add(self, aggregate: T) -> Any:
        """Put ``aggregate`` into the collection, or save it again, and return its id.

        Raises:
            ConcurrencyError: now or at commit, when its stream has moved on.
            EventSourcingError: it has recorded nothing, or an event of an unknown class.
        """
        journal_of(aggregate)
        async with self._joined() as repository:
            return await repository.add(aggregate)

    async def get(self, entity_id: Any) -> T | None:
        """Return the aggregate with this id, or None."""
        async with self._joined() as repository:
            return await repository.get(entity_id)

    async def require(self, entity_id: Any) -> T:
        """Return the aggregate with this id.

        Raises:
            EntityNotFoundError: it has no event.
        """
        found = await self.get(entity_id)
        if found is None:
            raise EntityNotFoundError(self._setup.model.name, entity_id)
        return found

    async def list_all(self, ids: Sequence[Any]) -> list[T]:
        """Return the aggregates with these ids, those that exist."""
        async with self._joined() as repository:
            return await repository.list_all(ids)

    async def replay(self, entity_id: Any) -> T | None:
        """Return the aggregate rebuilt from all its events, no snapshot used; it is not tracked."""
        return await self._gateway(_current_uow()).rebuild(entity_id, use_snapshot=False)

    def stream_of(self, entity_id: Any) -> StreamId:
        """Return the stream of the aggregate with this id."""
        return self._gateway(None).stream_of(entity_id)

    @asynccontextmanager
    async def _joined(self) -> AsyncGenerator[Repository[Any, Any]]:
        uow = _current_uow()
        if uow is not None:
            yield self._of(uow, uow)
            return
        alone = _NoTransaction()
        try:
            yield self._of(alone, None)
            await alone.commit()
        finally:
            await alone.close()

    def _of(self, uow: UnitOfWork, joins: UnitOfWork | None) -> Repository[Any, Any]:
        """Return the repository of a unit of work, the same one each time."""
        tenant_id = self._tenant_of()
        known = self._repositories.setdefault(uow, {})
        found = known.get(tenant_id)
        if found is None:
            gateway = cast("IAggregateGateway[Any]", self._gateway(joins))
            found = known[tenant_id] = Repository(uow, gateway)
        return found

    def _gateway(self, uow: UnitOfWork | None) -> EventSourcedGateway:
        return EventSourcedGateway(self._setup, uow, self._tenant_of())


def _current_uow() -> UnitOfWork | None:
    scope = current_scope()
    return scope.uow if scope is not None else None


class _NoTransaction(UnitOfWork):
    """Tracks one call; its append is a transaction of its own in the event store."""

    def _gateway(self, aggregate_type: type[Any], options: dict[str, Any]) -> NoReturn:
        raise NotImplementedError

    async def _commit(self) -> None: ...

    async def _rollback(self) -> None: ...

    async def _close(self) -> None: ...

    def _savepoint(self) -> NoReturn:
        raise NotImplementedError
