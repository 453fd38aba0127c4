"""Recorded events as the store keeps them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from cqrs_ddd_advanced_core.event_sourcing.errors import EventSourcingError
from cqrs_ddd_core import (
    EventTypeRegistry,
    IMessageCodec,
    StoredEvent,
    enrich_event_metadata,
    get_causation_id,
    get_correlation_id,
)
from cqrs_ddd_core.cqrs.scope import current_scope
from cqrs_ddd_core.middleware.event_store import stored_event


def encoded(
    events: Sequence[Any], event_types: EventTypeRegistry, codec: IMessageCodec, owner: str
) -> list[StoredEvent]:
    """Return ``events`` with the ids of the conversation, in the streams that they name.

    Raises:
        EventSourcingError: one is of a class that could not be read again.
    """
    scope = current_scope()
    raised: Sequence[Any] = scope.events.raised if scope is not None and scope.events else ()
    enriched = {event.event_id: event for event in raised if hasattr(event, "event_id")}
    stored: list[StoredEvent] = []
    for recorded in events:
        event = enriched.get(getattr(recorded, "event_id", "")) or enrich_event_metadata(
            recorded, correlation_id=get_correlation_id(), causation_id=get_causation_id()
        )
        event_class = cast("type[Any]", type(event))
        name = event_types.name_of(event_class)
        if not event_types.has(name):
            raise EventSourcingError(
                f"{event_class.__name__} is not among the events of {owner}, so it could not be "
                "read again. Give the aggregate a method for it, name it in events=, or register "
                "it in the event_registry."
            )
        stored.append(replace(stored_event(event, codec), event_type=name))
    return stored
