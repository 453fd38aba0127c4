"""Conditions and queries on one stream."""

from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, bindparam, func, select

from cqrs_ddd_core.ports import StreamId
from cqrs_ddd_persistence_sqlalchemy.event_store.tables import EventTables

STREAM = ("tenant_id", "aggregate_id", "aggregate_type")


def of_stream(events: Table, stream: StreamId) -> ColumnElement[bool]:
    """Return the condition that an event is one of ``stream``."""
    return and_(*(events.c[name] == getattr(stream, name) for name in STREAM))


def of_given_stream(events: Table) -> ColumnElement[bool]:
    """Return the same condition with parameters, which ``stream_parameters`` fills."""
    return and_(*(events.c[name] == bindparam(name, type_=events.c[name].type) for name in STREAM))


def stream_parameters(stream: StreamId) -> dict[str, Any]:
    """Return what names a stream in a statement."""
    return {name: getattr(stream, name) for name in STREAM}


def version_query(tables: EventTables, stream: StreamId) -> tuple[Any, dict[str, Any]]:
    """Return the query for the version of a stream, and its parameters."""
    return _version_query(tables), stream_parameters(stream)


@lru_cache(maxsize=64)
def _version_query(tables: EventTables) -> Any:
    return select(func.max(tables.events.c.version)).where(of_given_stream(tables.events))
