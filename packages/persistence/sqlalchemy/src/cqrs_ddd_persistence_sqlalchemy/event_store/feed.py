"""Reads of the feed: by position, in pages, forwards and backwards."""

from collections.abc import Collection
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Connection,
    FromClause,
    Select,
    bindparam,
    func,
    literal_column,
    select,
)

from cqrs_ddd_core.ports import StoredEvent
from cqrs_ddd_persistence_sqlalchemy.event_store.rows import COLUMNS, stored_event
from cqrs_ddd_persistence_sqlalchemy.event_store.tables import EventTables
from cqrs_ddd_persistence_sqlalchemy.prepared import Prepared


class Stretch(NamedTuple):
    """Positions ``first`` to ``last``, both included."""

    first: int
    last: int


def latest_position(connection: Connection, tables: EventTables) -> int:
    """Return the last position given out; 0 when there is none."""
    return _latest(tables).scalar(connection) or 0


def read_stretch(
    connection: Connection,
    tables: EventTables,
    stretch: Stretch,
    *,
    event_types: Collection[str] | None,
    backwards: bool = False,
    limit: int | None = None,
) -> list[StoredEvent]:
    """Return the events of a stretch: all, or those of these types, ``limit`` at most."""
    values: dict[str, Any] = {"first": stretch.first, "last": stretch.last}
    on_postgresql = connection.dialect.name == "postgresql"
    if event_types is None:
        rows = page_query(tables, backwards=backwards, on_postgresql=on_postgresql).rows(
            connection, values
        )
    else:
        some = _some_rows(tables, backwards, on_postgresql).limit(limit)
        rows = connection.execute(some, {**values, "event_types": list(event_types)}).all()
    return [stored_event(row[:-1], row[-1]) for row in rows]


@lru_cache(maxsize=64)
def _latest(tables: EventTables) -> Prepared:
    columns = tables.feed.c
    last = select(columns.position + columns.size - 1)
    return Prepared(last.order_by(columns.position.desc()).limit(1))


@lru_cache(maxsize=64)
def page_query(tables: EventTables, *, backwards: bool, on_postgresql: bool) -> Prepared:
    """Return the query for all events between the positions ``first`` and ``last``."""
    return Prepared(_rows(tables, _events(tables, on_postgresql), backwards))


@lru_cache(maxsize=64)
def _some_rows(tables: EventTables, backwards: bool, on_postgresql: bool) -> Select[Any]:
    events = _events(tables, on_postgresql)
    of_types = events.c.event_type.in_(bindparam("event_types", expanding=True))
    return _rows(tables, events, backwards).where(of_types)


def _events(tables: EventTables, on_postgresql: bool) -> FromClause:
    """Return the events of the append that a row of the feed tells of.

    On PostgreSQL as a subquery that cannot become a join: a plan that was made while the table was
    small, and is kept, would read all events for every page.
    """
    events = tables.events
    if not on_postgresql:
        return events
    of_append = events.c.append_id == tables.feed.c.append_id
    return select(events).where(of_append).offset(literal_column("0")).lateral("events")


def _rows(tables: EventTables, events: FromClause, backwards: bool) -> Select[Any]:
    """Return the query for a stretch, which may begin and end inside an append."""
    feed = tables.feed.c
    first = bindparam("first", type_=BigInteger())
    last = bindparam("last", type_=BigInteger())
    begins = tables.feed.alias("begins").c.position
    begin = func.coalesce(select(func.max(begins)).where(begins <= first).scalar_subquery(), first)
    position = (feed.position + events.c.place).label("position")
    found = (
        select(*(events.c[name] for name in COLUMNS), position)
        .select_from(tables.feed.join(events, events.c.append_id == feed.append_id))
        .where(feed.position >= begin, feed.position <= last)
        .where(position >= first, position <= last)
    )
    if backwards:
        return found.order_by(feed.position.desc(), events.c.place.desc())
    return found.order_by(feed.position, events.c.place)
