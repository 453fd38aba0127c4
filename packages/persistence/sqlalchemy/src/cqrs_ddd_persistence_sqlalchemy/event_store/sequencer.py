"""Gives committed appends their positions in the feed; whoever reads runs it.

An append leaves a pending row. Once it is committed, and only then, it can be seen here, so no
event can come in front of a position that was given out. Of two events of one stream, the second
was appended when the first was committed or in the same statement: it is seen later or together
with it, and its append has the greater id.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    TextClause,
    any_,
    cast,
    delete,
    exists,
    func,
    insert,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, IntegrityError

from cqrs_ddd_persistence_sqlalchemy.errors import lost_race
from cqrs_ddd_persistence_sqlalchemy.event_store.tables import EventTables
from cqrs_ddd_persistence_sqlalchemy.prepared import Prepared

BATCH = 5000  # appends that one step moves
_ATTEMPTS = 16  # of a step that another transaction got in the way of


def advance(connection: Connection, tables: EventTables) -> None:
    """Give positions to all appends that were committed before; SQLite gives them at once."""
    dialect = connection.dialect.name
    if dialect == "sqlite":
        return
    step = _step_at_once if dialect == "postgresql" else _step
    lost = 0
    while True:
        try:
            if step(connection, tables) < BATCH:
                return
        except DBAPIError as error:
            lost += 1
            if not lost_race(error) or lost == _ATTEMPTS:
                raise
            connection.rollback()


@lru_cache(maxsize=64)
def _has_pending(tables: EventTables) -> Any:
    """Return the query for whether an append waits for its position."""
    return select(exists().select_from(tables.pending))


def _step_at_once(connection: Connection, tables: EventTables) -> int:
    """Move a batch; return how many appends it had."""
    found: int | None = _statement(tables).scalar(connection)
    if found is not None:
        return found
    connection.execute(
        postgresql.insert(tables.head).values(id=1, position=0).on_conflict_do_nothing()
    )
    return BATCH  # there is a head now; once more


@lru_cache(maxsize=64)
def _statement(tables: EventTables) -> Prepared:
    """Return the whole step: lock the head, take what waits, place it behind, move the head.

    Another step that was faster has taken rows that this one's snapshot still shows; they are gone
    when this one tries to delete them, and the head is read again behind the lock.
    """
    pending, feed = tables.pending, tables.feed
    some = exists().select_from(pending)
    head = (
        select(tables.head.c.position)
        .where(tables.head.c.id == 1, some)
        .with_for_update()
        .cte("head")
    )
    is_mine = select(true()).select_from(head).scalar_subquery()
    oldest = select(pending.c.append_id).where(is_mine).order_by(pending.c.append_id).limit(BATCH)
    ids = func.array(oldest.scalar_subquery(), type_=ARRAY(BigInteger()))
    gone = (
        delete(pending)
        .where(pending.c.append_id == any_(ids))
        .returning(pending.c.append_id, pending.c.size)
        .cte("gone")
    )
    before = func.sum(gone.c.size).over(order_by=gone.c.append_id, rows=(None, -1))
    position = head.c.position + 1 + func.coalesce(before, 0)
    placed = (
        insert(feed)
        .from_select(
            ["position", "append_id", "size"],
            select(position, gone.c.append_id, gone.c.size).select_from(gone.join(head, true())),
        )
        .returning(feed.c.size)
        .cte("placed")
    )
    moved = (
        update(tables.head)
        .where(tables.head.c.id == 1, exists().select_from(placed))
        .values(
            position=select(head.c.position).scalar_subquery()
            + select(cast(func.sum(placed.c.size), BigInteger())).scalar_subquery()
        )
        .returning(tables.head.c.position)
        .cte("moved")
    )
    count = select(func.count()).select_from(placed).scalar_subquery()
    has_head = exists().where(tables.head.c.id == 1)
    return Prepared(select(count).where(has_head | ~some).add_cte(moved))


def _step(connection: Connection, tables: EventTables) -> int:
    """Move a batch in a short transaction of its own; return how many appends it had."""
    waits = connection.execute(_has_pending(tables)).scalar_one()
    connection.rollback()  # the lock comes first in a transaction, so that its reads come behind it
    if not waits:
        return 0
    head, pending = tables.head, tables.pending
    locked = select(head.c.position).where(head.c.id == 1).with_for_update()
    position = connection.execute(locked).scalar()
    if position is None:
        _make_head(connection, tables)
        return BATCH
    oldest = select(pending.c.append_id, pending.c.size).order_by(pending.c.append_id).limit(BATCH)
    appends = [(row[0], row[1]) for row in connection.execute(oldest)]
    if appends:
        rows, last = _placed(appends, position)
        connection.execute(insert(tables.feed), rows)
        connection.execute(_delete_placed(connection, tables), {"first": position, "last": last})
        connection.execute(update(head).where(head.c.id == 1).values(position=last))
    connection.commit()
    return len(appends)


def _delete_placed(connection: Connection, tables: EventTables) -> TextClause:
    """Return the deletion of pending rows by their keys, one by one.

    A DELETE locks every row it looks at, so one that scans the table, as the optimiser has it when
    the table is small, would wait for the end of every transaction that has appended.
    """
    pending, feed = map(
        connection.dialect.identifier_preparer.format_table, (tables.pending, tables.feed)
    )
    return text(
        f"DELETE p FROM {feed} AS f STRAIGHT_JOIN {pending} AS p FORCE INDEX (PRIMARY)"
        " ON p.append_id = f.append_id WHERE f.position > :first AND f.position <= :last"
    )


def _make_head(connection: Connection, tables: EventTables) -> None:
    try:
        connection.execute(insert(tables.head).values(id=1, position=0))
        connection.commit()
    except IntegrityError:  # another reader has made it
        connection.rollback()


def _placed(appends: Sequence[tuple[int, int]], position: int) -> tuple[list[dict[str, int]], int]:
    """Return the rows of the feed for ``appends`` behind ``position``, and the last position."""
    rows: list[dict[str, int]] = []
    for append_id, size in appends:
        rows.append({"position": position + 1, "append_id": append_id, "size": size})
        position += size
    return rows, position
