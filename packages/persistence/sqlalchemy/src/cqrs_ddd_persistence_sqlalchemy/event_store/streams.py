"""Conditions and queries on one stream."""

from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, bindparam, func, select

from cqrs_ddd_core.ports import StreamId
from cqrs_ddd_persistence_sqlalchemy.event_store.tables import EventTables
from cqrs_ddd_persistence_sqlalchemy.prepared import Prepared

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


@lru_cache(maxsize=64)
def version_query(tables: EventTables) -> Prepared:
    """Return the query for the version of a stream, which ``stream_parameters`` names."""
    return Prepared(select(func.max(tables.events.c.version)).where(of_given_stream(tables.events)))
