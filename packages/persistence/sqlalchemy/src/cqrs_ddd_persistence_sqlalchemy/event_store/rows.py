"""Events as rows."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from cqrs_ddd_core.ports import StoredEvent, StreamId

COLUMNS = (
    "tenant_id",
    "aggregate_id",
    "aggregate_type",
    "version",
    "event_id",
    "event_type",
    "schema_version",
    "payload",
    "occurred_at",
    "recorded_at",
    "correlation_id",
    "causation_id",
    "metadata",
    "tags",
)


_stream = lru_cache(maxsize=4096)(StreamId)  # the events of one stream often come together


def stored_event(row: Sequence[Any], position: int = 0) -> StoredEvent:
    """Return the event of a row of ``COLUMNS``."""
    (
        tenant_id,
        aggregate_id,
        aggregate_type,
        version,
        event_id,
        event_type,
        schema_version,
        payload,
        occurred_at,
        recorded_at,
        correlation_id,
        causation_id,
        metadata,
        tags,
    ) = row
    return StoredEvent(
        event_id=event_id,
        event_type=event_type,
        stream=_stream(aggregate_type, aggregate_id, tenant_id),
        payload=payload,
        occurred_at=occurred_at,
        schema_version=schema_version,
        version=version,
        position=position,
        recorded_at=recorded_at,
        correlation_id=correlation_id,
        causation_id=causation_id,
        metadata=metadata or {},
        tags=tuple(tags) if tags else (),
    )
