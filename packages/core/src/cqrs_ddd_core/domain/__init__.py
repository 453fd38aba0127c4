"""Building blocks of a domain model: aggregates, events, value objects."""

from cqrs_ddd_core.domain.aggregate import (
    AggregateRoot,
    AggregateRootMixin,
    IAggregate,
    restore_version,
)
from cqrs_ddd_core.domain.event import (
    DomainEvent,
    enrich_event_metadata,
    event_type_of,
    schema_version_of,
)
from cqrs_ddd_core.domain.event_types import (
    EventPayloadError,
    EventTypeError,
    EventTypeRegistry,
    UnknownEventTypeError,
)
from cqrs_ddd_core.domain.mixins import ArchivableMixin, AuditableMixin
from cqrs_ddd_core.domain.tags import Tag, TagError, tags_of
from cqrs_ddd_core.domain.value_object import ValueObject

__all__ = [
    "AggregateRoot",
    "AggregateRootMixin",
    "ArchivableMixin",
    "AuditableMixin",
    "DomainEvent",
    "EventPayloadError",
    "EventTypeError",
    "EventTypeRegistry",
    "IAggregate",
    "Tag",
    "TagError",
    "UnknownEventTypeError",
    "ValueObject",
    "enrich_event_metadata",
    "event_type_of",
    "restore_version",
    "schema_version_of",
    "tags_of",
]
