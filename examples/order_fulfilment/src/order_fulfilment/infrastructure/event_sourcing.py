"""The shop with cancellations kept as their events: the same commands, handlers and figures."""

from typing import TypeVar, cast

from cqrs_ddd_advanced_core import EventSourcedRepository
from cqrs_ddd_core import EventTypeRegistry, IEventStore
from order_fulfilment.application import ShopRepositories
from order_fulfilment.domain import Cancellation, CancellationMatched, CancellationRecorded

Uow = TypeVar("Uow", bound=ShopRepositories)


def with_event_sourced_cancellations(uow_class: type[Uow], event_store: IEventStore) -> type[Uow]:
    """Return a unit of work whose ``cancellations`` are streams of events, not rows."""
    types = EventTypeRegistry()
    types.add(CancellationRecorded, CancellationMatched)
    cancellations = EventSourcedRepository(
        event_store=event_store, aggregate_cls=Cancellation, event_registry=types
    )
    name = f"EventSourced{uow_class.__name__}"
    return cast("type[Uow]", type(name, (uow_class,), {"cancellations": cancellations}))
