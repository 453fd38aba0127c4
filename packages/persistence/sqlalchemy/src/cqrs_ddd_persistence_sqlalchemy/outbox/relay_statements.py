"""The statements that a relay repeats for every batch, each built once."""

from functools import cached_property
from typing import Any

from sqlalchemy import (
    BigInteger,
    Dialect,
    Executable,
    Integer,
    Select,
    any_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from cqrs_ddd_persistence_sqlalchemy.conditions import is_one_of
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import epoch_now
from cqrs_ddd_persistence_sqlalchemy.outbox.tables import MESSAGE_COLUMNS, OutboxTables

_BEHIND_SNAPSHOT = "pg_snapshot_xmin(now_seen.snapshot)::text::bigint"
_AHEAD_OF_ALL = (
    "pg_snapshot_xmax(now_seen.snapshot)::text::bigint"
    " + age(pg_snapshot_xmax(now_seen.snapshot)::xid)"
)


class RelayStatements:
    """Reading, and settling what was delivered, for one outbox on one kind of database."""

    def __init__(self, tables: OutboxTables, dialect: Dialect) -> None:
        self._tables, self._dialect = tables, dialect
        self._reads: dict[tuple[bool, bool], Select[Any]] = {}

    def read(self, *, some_slots: bool, leaves_out: bool) -> Select[Any]:
        """Return what reads ``most`` messages above ``after``.

        Args:
            some_slots: only those of ``slots``; else all that are not hidden.
            leaves_out: none with a partition key in ``without``.
        """
        found = self._reads.get((some_slots, leaves_out))
        if found is None:
            found = self._waiting(some_slots=some_slots, leaves_out=leaves_out)
            if self._dialect.name == "postgresql":
                found = _with_snapshot(found)
            self._reads[some_slots, leaves_out] = found
        return found

    def _waiting(self, *, some_slots: bool, leaves_out: bool) -> Select[Any]:
        columns = self._tables.messages.c
        wanted = (columns.id, columns.slot, *(columns[name] for name in MESSAGE_COLUMNS))
        rows = select(*wanted).where(columns.id > bindparam("after")).order_by(columns.id)
        mine = is_one_of(columns.slot, "slots", self._dialect) if some_slots else columns.slot >= 0
        rows = rows.where(mine).limit(bindparam("most", type_=BigInteger()))
        if not leaves_out:
            return rows
        return rows.where(columns.partition_key.not_in(bindparam("without", expanding=True)))

    def lease_of(self, relay_id: Any) -> Select[Any]:
        """Return what finds a lease that holds, and keeps it until the commit."""
        relays = self._tables.relays
        return (
            select(relays.c.id)
            .where(relays.c.id == relay_id, relays.c.until > epoch_now())
            .with_for_update(read=True)
        )

    @cached_property
    def delete_under_lease(self) -> Executable:
        """Delete ``delivered`` if the lease of ``relay_id`` holds, and tell: PostgreSQL's."""
        messages = self._tables.messages
        lease = self.lease_of(bindparam("relay_id", type_=BigInteger())).cte("lease")
        delivered = bindparam("delivered", type_=ARRAY(BigInteger()))
        gone = (
            delete(messages)
            .where(messages.c.id == any_(delivered), exists(select(lease.c.id)))
            .returning(literal_column("1", Integer()))
            .cte("gone")
        )
        return select(exists(select(lease.c.id))).add_cte(gone)


def _with_snapshot(rows: Select[Any]) -> Select[Any]:
    """Return what reads ``rows``, each with the numbers of the oldest and of the next transaction.

    One statement, so that they belong together; without messages, it brings one row of numbers.
    """
    seen = select(func.pg_current_snapshot().label("snapshot")).subquery("now_seen")
    waiting = rows.subquery("waiting")
    return (
        select(
            *waiting.c,
            literal_column(_BEHIND_SNAPSHOT, BigInteger()).label("oldest"),
            literal_column(_AHEAD_OF_ALL, BigInteger()).label("next"),
        )
        .select_from(seen.outerjoin(waiting, true()))
        .order_by(waiting.c.id)
    )
