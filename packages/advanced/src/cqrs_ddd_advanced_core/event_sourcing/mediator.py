"""A mediator that loads and saves event-sourced aggregates of every kind."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from cqrs_ddd_advanced_core.event_sourcing.applying import has_apply_methods
from cqrs_ddd_advanced_core.event_sourcing.decider import DecidedAggregate
from cqrs_ddd_advanced_core.event_sourcing.errors import (
    EventSourcingError,
    UnknownAggregateError,
)
from cqrs_ddd_advanced_core.event_sourcing.models import model_of
from cqrs_ddd_advanced_core.event_sourcing.repository import EventSourcedRepository
from cqrs_ddd_advanced_core.snapshots import (
    ISnapshotStore,
    ISnapshotStrategy,
    JSONSnapshotSerializer,
)
from cqrs_ddd_advanced_core.upcasting import UpcasterRegistry
from cqrs_ddd_core import (
    AggregateRoot,
    CommandResponse,
    EntityNotFoundError,
    EventTypeRegistry,
    HandlerRegistry,
    IEventStore,
    Mediator,
    UnitOfWork,
)
from cqrs_ddd_core.cqrs.pipeline import Pipeline
from cqrs_ddd_core.cqrs.scope import current_scope


class EventSourcedMediator(Mediator):
    """A ``Mediator`` with ``load`` and ``save`` for event-sourced aggregates of every kind.

    Args:
        registry: the handlers.
        uow_factory: opens a unit of work; the event store's own by default.
        event_store: keeps the events.
        snapshot_store: keeps snapshots.
        snapshot_strategy: when to take them.
        snapshot_serializer: encodes them; JSON by default.
        aggregates: the classes and deciders to be found by the type that their streams carry.
            Derived classes of ``AggregateRoot`` with ``apply_`` methods are found without.
        event_registry: the classes of the events; by default each aggregate's own.
        upcaster_registry: brings old events to the schema of today.
        **options: of ``Mediator``.
    """

    def __init__(
        self,
        registry: HandlerRegistry,
        uow_factory: Callable[[], UnitOfWork] | None = None,
        *,
        event_store: IEventStore,
        snapshot_store: ISnapshotStore | None = None,
        snapshot_strategy: ISnapshotStrategy | None = None,
        snapshot_serializer: JSONSnapshotSerializer | None = None,
        aggregates: Iterable[Any] = (),
        event_registry: EventTypeRegistry | None = None,
        upcaster_registry: UpcasterRegistry | None = None,
        **options: Any,
    ) -> None:
        super().__init__(registry, uow_factory or _own_units_of_work(event_store), **options)
        self._event_store = event_store
        self._options: dict[str, Any] = {
            "event_store": event_store,
            "snapshot_store": snapshot_store,
            "snapshot_strategy": snapshot_strategy,
            "snapshot_serializer": snapshot_serializer,
            "event_registry": event_registry,
            "upcaster_registry": upcaster_registry,
        }
        self._sources: dict[str, EventSourcedRepository[Any]] = {}
        for aggregate_cls in aggregates:
            self.repository(aggregate_cls)

    def repository(self, aggregate_cls: Any) -> EventSourcedRepository[Any]:
        """Return the repository of a class or decider."""
        name = model_of(aggregate_cls).name
        found = self._sources.get(name)
        if found is None:
            found = EventSourcedRepository[Any](aggregate_cls=aggregate_cls, **self._options)
            self._sources[name] = found
        return found

    async def load(
        self, aggregate_id: Any, *, aggregate_cls: Any = None, from_version: int | None = None
    ) -> Any:
        """Return the aggregate with this id; its class is found by its stream.

        Args:
            aggregate_id: its id.
            aggregate_cls: its class or decider, where ids of different types may be the same.
            from_version: 0 replays the whole history; by default it begins at the last snapshot.

        Raises:
            EntityNotFoundError: it has no event.
            UnknownAggregateError: its class cannot be told.
        """
        if aggregate_cls is not None:
            source = self.repository(aggregate_cls)
        else:
            source = await self._source_of(str(aggregate_id))
        found = await (
            source.get(aggregate_id) if from_version is None else source.replay(aggregate_id)
        )
        if found is None:
            raise EntityNotFoundError(source.aggregate_type, aggregate_id)
        return found

    async def save(self, aggregate: Any) -> None:
        """Append what ``aggregate`` has recorded, with snapshot, and have its events handled.

        Inside a unit of work it is saved with that one, else in one of its own.

        Raises:
            ConcurrencyError: its stream has moved on.
        """
        source = self.repository(
            cast("Any", aggregate).decider
            if isinstance(aggregate, DecidedAggregate)
            else type(aggregate)
        )
        if current_scope() is not None:
            await source.add(aggregate)
            return

        async def handle(message: Any) -> CommandResponse[None]:
            await source.add(message)
            return CommandResponse(None)

        pipeline = Pipeline(f"aggregate.save.{source.aggregate_type}", handle, read_only=False)
        await self._run_as_root(pipeline, aggregate, None)

    async def _source_of(self, aggregate_id: str) -> EventSourcedRepository[Any]:
        """Return the repository of the aggregate with this id."""
        names = [stream.aggregate_type for stream in await self._streams_of(aggregate_id)]
        if not names:
            raise EntityNotFoundError("Aggregate", aggregate_id)
        if len(names) == 1:
            if names[0] in self._sources:
                return self._sources[names[0]]
            classes = [c for c in _derived(AggregateRoot) if c.__name__ == names[0]]
            if len(classes) == 1:
                return self.repository(classes[0])
        raise UnknownAggregateError(aggregate_id, names)

    async def _streams_of(self, aggregate_id: str) -> list[Any]:
        return await self._event_store.streams_of(aggregate_id)


def _derived(base: type) -> Iterator[type]:
    """Yield the classes derived from ``base`` that say what events do to them."""
    for derived in base.__subclasses__():
        if has_apply_methods(derived) and "[" not in derived.__name__:
            yield derived
        yield from _derived(derived)


def _own_units_of_work(event_store: IEventStore) -> Callable[[], UnitOfWork]:
    found: Callable[[], UnitOfWork] | None = getattr(event_store, "unit_of_work", None)
    if found is None:
        raise EventSourcingError(
            f"{type(event_store).__name__} brings no unit of work; give the mediator a uow_factory."
        )
    return found
