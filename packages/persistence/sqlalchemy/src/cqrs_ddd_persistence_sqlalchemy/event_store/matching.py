"""Finds events by their types and tags, through the index of tags."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Integer, bindparam, exists, func, select, union

from cqrs_ddd_core.ports import EventQuery
from cqrs_ddd_persistence_sqlalchemy.event_store.rows import COLUMNS
from cqrs_ddd_persistence_sqlalchemy.event_store.tables import EventTables

ANY_TAG = ""  # what the index has for events that are asked for by type alone


class TaggedEvent(NamedTuple):
    """What of an event queries ask for."""

    tenant_id: str
    event_type: str
    tags: Sequence[str]


class _ItemShape(NamedTuple):
    """What of an item is in the text of the statement; the rest are its parameters."""

    tags: int
    is_typed: bool


def count_matching(
    connection: Connection, tables: EventTables, query: EventQuery, most: int
) -> int:
    """Return how many events ``query`` finds, counted to ``most``."""
    parameters = {**_parameters(query), "most": most}
    return connection.execute(_count(tables, _shape(query)), parameters).scalar_one()


def matching_query(
    tables: EventTables, query: EventQuery, behind: tuple[int, int], limit: int
) -> tuple[Any, dict[str, Any]]:
    """Return the query for events behind an append and place, and its parameters.

    Its rows are ``COLUMNS``, the append's id and the place in it. Ids of appends are taken behind
    the check of what they rest on, so in their order every event comes behind those it rests on.
    """
    last_id, last_place = behind
    given = {"last_id": last_id, "last_place": last_place, "limit": limit}
    return _read(tables, _shape(query)), {**_parameters(query), **given}


def tag_rows(events: Sequence[TaggedEvent]) -> list[dict[str, Any]]:
    """Return the rows of the index for the events of one append, which lack its id."""
    return [
        {"tenant_id": tenant_id, "tag": tag, "event_type": event_type, "place": place}
        for place, (tenant_id, event_type, tags) in enumerate(events)
        if tags
        for tag in (ANY_TAG, *tags)
    ]


def _shape(query: EventQuery) -> tuple[_ItemShape, ...]:
    return tuple(_ItemShape(len(item.tags) or 1, bool(item.types)) for item in query.items)


def _parameters(query: EventQuery) -> dict[str, Any]:
    parameters: dict[str, Any] = {"tenant_id": query.tenant_id}
    for number, item in enumerate(query.items):
        for place, tag in enumerate(item.tags or (ANY_TAG,)):
            parameters[f"tag_{number}_{place}"] = tag
        if item.types:
            parameters[f"types_{number}"] = list(item.types)
    return parameters


@lru_cache(maxsize=256)
def _count(tables: EventTables, shape: tuple[_ItemShape, ...]) -> Any:
    most = bindparam("most", type_=Integer())
    some = _found(tables, shape).limit(most).subquery("some_found")
    return select(func.count()).select_from(some)


@lru_cache(maxsize=256)
def _read(tables: EventTables, shape: tuple[_ItemShape, ...]) -> Any:
    last_id = bindparam("last_id", type_=BigInteger())
    last_place = bindparam("last_place", type_=Integer())
    found = _found(tables, shape, from_id=last_id).subquery("found")
    events = tables.events.c
    is_behind = (found.c.append_id > last_id) | (found.c.place > last_place)
    joined = tables.events.join(
        found, (events.append_id == found.c.append_id) & (events.place == found.c.place)
    )
    return (
        select(*(events[name] for name in COLUMNS), found.c.append_id, found.c.place)
        .select_from(joined)
        .where(is_behind)
        .order_by(found.c.append_id, found.c.place)
        .limit(bindparam("limit", type_=Integer()))
    )


def _found(tables: EventTables, shape: tuple[_ItemShape, ...], from_id: Any = None) -> Any:
    """Return the query for the keys of all matching events, each once."""
    items = [_item(tables, number, item, from_id) for number, item in enumerate(shape)]
    return items[0] if len(items) == 1 else union(*items)


def _item(tables: EventTables, number: int, item: _ItemShape, from_id: Any) -> Any:
    tags = tables.tags.alias(f"i{number}")
    found = select(tags.c.append_id, tags.c.place).where(
        tags.c.tenant_id == bindparam("tenant_id", type_=tags.c.tenant_id.type),
        tags.c.tag == bindparam(f"tag_{number}_0", type_=tags.c.tag.type),
    )
    if item.is_typed:
        found = found.where(tags.c.event_type.in_(bindparam(f"types_{number}", expanding=True)))
    if from_id is not None:
        found = found.where(tags.c.append_id >= from_id)
    for place in range(1, item.tags):
        other = tables.tags.alias(f"i{number}_{place}")
        same = (other.c[name] == tags.c[name] for name in _SAME)
        tag = bindparam(f"tag_{number}_{place}", type_=other.c.tag.type)
        found = found.where(exists().where(*same, other.c.tag == tag))
    return found


_SAME = ("tenant_id", "event_type", "append_id", "place")
