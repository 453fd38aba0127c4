"""Reads of the feed: by position, in pages, forwards and backwards."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, bindparam, func, select

from cqrs_ddd_core.ports import StoredEvent
from cqrs_ddd_persistence_sqlalchemy.event_store.rows import COLUMNS, stored_event
from cqrs_ddd_persistence_sqlalchemy.event_store.tables import EventTables


class Stretch(NamedTuple):
    """Positions ``first`` to ``last``, both included."""

    first: int
    last: int


def latest_position(connection: Connection, tables: EventTables) -> int:
    """Return the last position given out; 0 when there is none."""
    return connection.execute(_latest(tables)).scalar() or 0


def read_stretch(
    connection: Connection,
    tables: EventTables,
    stretch: Stretch,
    *,
    event_types: Collection[str] | None,
    backwards: bool = False,
    limit: int | None = None,
) -> list[StoredEvent]:
    """Return the events of a stretch, those of these types (or all), ``limit`` at most."""
    statement = _rows(tables, backwards, event_types is not None)
    parameters: dict[str, Any] = {"first": stretch.first, "last": stretch.last}
    if event_types is not None:
        parameters["event_types"] = list(event_types)
    if limit is not None:
        statement = statement.limit(limit)
    rows: Sequence[Any] = connection.execute(statement, parameters).all()
    return [stored_event(row[:-1], row[-1]) for row in rows]


@lru_cache(maxsize=64)
def _latest(tables: EventTables) -> Any:
    columns = tables.feed.c
    last = select(columns.position + columns.size - 1)
    return last.order_by(columns.position.desc()).limit(1)


@lru_cache(maxsize=64)
def _rows(tables: EventTables, backwards: bool, typed: bool) -> Any:
    """Return the query for a stretch, which may begin and end inside an append."""
    feed, events = tables.feed.c, tables.events.c
    first = bindparam("first", type_=BigInteger())
    last = bindparam("last", type_=BigInteger())
    begins = tables.feed.alias("begins").c.position
    begin = func.coalesce(select(func.max(begins)).where(begins <= first).scalar_subquery(), first)
    position = (feed.position + events.place).label("position")
    found = (
        select(*(events[name] for name in COLUMNS), position)
        .select_from(tables.feed.join(tables.events, events.append_id == feed.append_id))
        .where(feed.position >= begin, feed.position <= last)
        .where(position >= first, position <= last)
    )
    if typed:
        found = found.where(events.event_type.in_(bindparam("event_types", expanding=True)))
    if backwards:
        return found.order_by(feed.position.desc(), events.place.desc())
    return found.order_by(feed.position, events.place)
