"""The append on PostgreSQL: events of any number and streams, as one statement or part of one."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic_core import to_json
from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Integer,
    ScalarSelect,
    Text,
    bindparam,
    cast,
    column,
    exists,
    func,
    insert,
    literal,
    not_,
    select,
    true,
)
from sqlalchemy.dialects import postgresql

from cqrs_ddd_core.ports import StreamId
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_persistence_sqlalchemy.event_store.streams import STREAM
from cqrs_ddd_persistence_sqlalchemy.event_store.tables import EventTables
from cqrs_ddd_persistence_sqlalchemy.prepared import Prepared

_TIME = postgresql.TIMESTAMP(timezone=True)
_ARRAYS: dict[str, Any] = {
    **dict.fromkeys((*STREAM, "event_id", "event_type"), Text()),
    "version": BigInteger(),
    "schema_version": Integer(),
    "payload": postgresql.BYTEA(),
    "occurred_at": _TIME,
    **dict.fromkeys(("correlation_id", "causation_id", "metadata"), Text()),
}
_TAGS: dict[str, Any] = {"tags": Text()}  # of events that have some, which others do not pay for
_DOCUMENTS = ("metadata", "tags")
_INDEX: dict[str, Any] = {
    **dict.fromkeys(("tenant_id", "tag", "event_type"), Text()),
    "place": Integer(),
}


class AppendTemplate:
    """The append as a part of a statement (see ``Template``): one for each set of tables."""

    kind = "append"

    def __init__(self, tables: EventTables) -> None:
        self.tables, self.table = tables, tables.events

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AppendTemplate) and self.tables == other.tables

    def __hash__(self) -> int:
        return hash(self.tables)

    def counted(self, name: str) -> tuple[list[CTE], ScalarSelect[int]]:
        """Return the parts of the statement, and 1 if every event was written, else 0."""
        prefix = f"{name}_"
        parts, written = _parts(self.tables, name, prefix)
        size = bindparam(f"{prefix}size", type_=Integer())
        count = select(cast(func.count().op("/")(size), Integer())).select_from(written)
        return parts, count.scalar_subquery()


@lru_cache(maxsize=64)
def append_statement(tables: EventTables, *, with_tags: bool) -> Prepared:
    """Return the append as a statement of its own, which tells how many events were written."""
    parts, written = _parts(tables, "new", "", _ARRAYS | _TAGS if with_tags else _ARRAYS)
    if with_tags:
        parts.append(_index(tables, written))
    return Prepared(select(func.count()).select_from(written).add_cte(*parts))


def _parts(
    tables: EventTables, name: str, prefix: str, columns: Mapping[str, Any] = _ARRAYS
) -> tuple[list[CTE], CTE]:
    """Return the parts that write events and their pending row, and the one to count.

    Nothing is written when a stream has no event of the version that the append stands on. An id
    of the append is taken behind that check, so that in one stream ids follow versions.
    """
    events, pending = tables.events, tables.pending
    arrays = [bindparam(f"{prefix}{n}", type_=ARRAY(kind)) for n, kind in columns.items()]
    new = (
        func.unnest(*arrays)
        .table_valued(
            *(column(n, kind) for n, kind in columns.items()),
            with_ordinality="ordinal",
            name=f"{prefix}row",
        )
        .render_derived()
    )
    name_of_pending = ".".join(f'"{part}"' for part in (pending.schema, pending.name) if part)
    sequence = func.pg_get_serial_sequence(literal(name_of_pending), literal("append_id"))
    taken = (
        select(func.nextval(sequence).label("append_id"))
        .where(_has_prior_versions(tables, prefix))
        .cte(f"{name}_id")
    )
    recorded_at = bindparam(f"{prefix}recorded_at", type_=_TIME)
    values: dict[str, Any] = {
        "append_id": taken.c.append_id,
        "place": new.c.ordinal - 1,
        **{n: new.c[n] for n in columns if n not in _DOCUMENTS},
        **{n: cast(new.c[n], postgresql.JSONB()) for n in columns if n in _DOCUMENTS},
        "recorded_at": recorded_at,
    }
    rows = select(*values.values()).select_from(taken.join(new, true()))
    written = (
        postgresql.insert(events)
        .from_select(list(values), rows)
        .on_conflict_do_nothing()
        .returning(events.c.append_id, events.c.place)
        .cte(name)
    )
    waiting = (
        insert(pending)
        .from_select(
            ["append_id", "size"],
            select(written.c.append_id, func.count()).group_by(written.c.append_id),
        )
        .returning(pending.c.append_id)
        .cte(f"{name}_pending")
    )
    return [taken, written, waiting], written


def _index(tables: EventTables, written: CTE) -> CTE:
    """Return the part that writes the tags of those events that were written."""
    arrays = [bindparam(f"index_{n}", type_=ARRAY(kind)) for n, kind in _INDEX.items()]
    new = (
        func.unnest(*arrays)
        .table_valued(*(column(n, kind) for n, kind in _INDEX.items()), name="index_row")
        .render_derived()
    )
    rows = select(*(new.c[n] for n in _INDEX), written.c.append_id).select_from(
        written.join(new, new.c.place == written.c.place)
    )
    return insert(tables.tags).from_select([*_INDEX, "append_id"], rows).cte("new_tags")


def _has_prior_versions(tables: EventTables, prefix: str) -> ColumnElement[bool]:
    """Whether every stream has the version that the append stands on.

    Each is looked up by its key, in a subquery that cannot become a join: a plan that was made
    while the table was small, and is kept, would read all events for every append.
    """
    kinds: dict[str, Any] = {**dict.fromkeys(STREAM, Text()), "version": BigInteger()}
    arrays = [bindparam(f"{prefix}prior_{n}", type_=ARRAY(kind)) for n, kind in kinds.items()]
    prior = (
        func.unnest(*arrays)
        .table_valued(*(column(n, kind) for n, kind in kinds.items()), name=f"{prefix}prior")
        .render_derived()
    )
    events = tables.events.alias(f"{prefix}before")
    found = select(true()).where(*(events.c[n] == prior.c[n] for n in kinds)).scalar_subquery()
    return not_(exists(select(literal(1)).select_from(prior).where(found.is_(None))))


def array_parameters(
    rows: Sequence[Mapping[str, Any]],
    prior: Sequence[tuple[StreamId, int]],
    index: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the parameters of the append.

    Args:
        rows: the events, a mapping of columns each.
        prior: the streams that have events, and the version that the append stands on.
        index: the rows of their tags; None for the statement without tags.
    """
    columns = _ARRAYS if index is None else _ARRAYS | _TAGS
    arrays = {name: [row[name] for row in rows] for name in columns}
    for name in _DOCUMENTS:
        if name in columns:
            arrays[name] = [
                None if document is None else to_json(document).decode()
                for document in arrays[name]
            ]
    if index is not None:
        arrays |= {f"index_{name}": [row[name] for row in index] for name in _INDEX}
    return {
        **arrays,
        **{f"prior_{name}": [getattr(stream, name) for stream, _ in prior] for name in STREAM},
        "prior_version": [version for _, version in prior],
        "recorded_at": utc_now(),
        "size": len(rows),
    }
