"""Aggregates kept as streams of events."""

from cqrs_ddd_advanced_core.event_sourcing.aggregate import EventSourcedAggregate
from cqrs_ddd_advanced_core.event_sourcing.applying import apply_event
from cqrs_ddd_advanced_core.event_sourcing.decider import DecidedAggregate, Decider
from cqrs_ddd_advanced_core.event_sourcing.errors import (
    EventSourcingError,
    EventUnreadableError,
    IncompleteAggregateError,
    MissingEventHandlerError,
    StreamGapError,
    UnknownAggregateError,
)
from cqrs_ddd_advanced_core.event_sourcing.mediator import EventSourcedMediator
from cqrs_ddd_advanced_core.event_sourcing.reader import EventReader
from cqrs_ddd_advanced_core.event_sourcing.repository import EventSourcedRepository

__all__ = [
    "DecidedAggregate",
    "Decider",
    "EventReader",
    "EventSourcedAggregate",
    "EventSourcedMediator",
    "EventSourcedRepository",
    "EventSourcingError",
    "EventUnreadableError",
    "IncompleteAggregateError",
    "MissingEventHandlerError",
    "StreamGapError",
    "UnknownAggregateError",
    "apply_event",
]
