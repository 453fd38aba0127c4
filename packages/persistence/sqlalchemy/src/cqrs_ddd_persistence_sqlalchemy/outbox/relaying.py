"""Reading an outbox and writing down what has become of its messages."""

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import (
    Double,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_core.ports import (
    BlockedKey,
    DueKey,
    DueKeys,
    FailedKey,
    RelayLeaseLostError,
    Settlement,
    WaitingBatch,
)
from cqrs_ddd_core.ports.outbox_relay import SLOTS
from cqrs_ddd_persistence_sqlalchemy.conditions import is_one_of
from cqrs_ddd_persistence_sqlalchemy.outbox.base import OutboxBase, waiting_of
from cqrs_ddd_persistence_sqlalchemy.outbox.relay_statements import RelayStatements
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import (
    digest_of,
    epoch_now,
    insert_missing,
    upsert,
)
from cqrs_ddd_persistence_sqlalchemy.outbox.tables import MESSAGE_COLUMNS, NUMBER_FIRST

_ALL_SEEN = 1
_DEFAULT_OF_ID = (
    "SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN pg_attribute a"
    " ON a.attrelid = d.adrelid AND a.attnum = d.adnum"
    " WHERE d.adrelid = to_regclass(quote_ident(:name)) AND a.attname = 'id'"
)


class OutboxRelaying(OutboxBase):
    """What relays do with messages (see ``IOutboxRelayStorage``)."""

    _is_number_first: bool | None = None

    @cached_property
    def _statements(self) -> RelayStatements:
        return RelayStatements(self._tables, self._dialect)

    # -- reading -------------------------------------------------------------------------------

    async def read(
        self, slots: Collection[int], after: int, limit: int, *, without: Collection[str] = ()
    ) -> WaitingBatch:
        """Return at most ``limit`` messages of ``slots`` above position ``after``."""
        values: dict[str, Any] = {"after": after, "most": limit}
        if len(slots) < SLOTS:
            values["slots"] = sorted(slots)
        if without:
            values["without"] = list(without)
        statement = self._statements.read(some_slots="slots" in values, leaves_out=bool(without))
        rows: Sequence[Any] = (await self._query(statement, values)).all()
        if self._dialect.name != "postgresql":
            # SQLite has one writer, so positions appear in order; of MariaDB's nothing is known.
            oldest = _ALL_SEEN if self._dialect.name == "sqlite" else 0
            return WaitingBatch([waiting_of(row) for row in rows], oldest, _ALL_SEEN)
        position, *_, oldest, following = rows[0]
        messages = [waiting_of(row) for row in rows] if position is not None else []
        return WaitingBatch(messages, oldest if await self._numbers_come_first() else 0, following)

    async def _numbers_come_first(self) -> bool:
        """Whether the table's default is the one that makes transaction numbers tell (see tables).

        A migration of somebody's own may have left it out; reads then begin at the beginning.
        """
        if self._is_number_first is None:
            statement, values = text(_DEFAULT_OF_ID), {"name": self._tables.messages.name}
            found = await self._query(statement, values)
            self._is_number_first = NUMBER_FIRST in (found.scalar() or "")
        return self._is_number_first

    async def blocked(self, slots: Collection[int]) -> Sequence[BlockedKey]:
        """Return all blocked keys of ``slots``, dead letters as well."""
        table, messages = self._tables.blocked, self._tables.messages
        statement = (
            select(table, messages.c.id.label("found"))
            .outerjoin(messages, messages.c.id == table.c.head)
            .where(is_one_of(table.c.slot, slots, self._dialect))
        )
        found = await self._query(statement)
        return [
            BlockedKey(row["order_key"], row["slot"], row["found"], row["attempts"])
            for row in found.mappings()
        ]

    async def due(self, slots: Collection[int], limit: int) -> DueKeys:
        """Return at most ``limit`` blocked keys of ``slots`` that are to be tried now."""
        table, messages = self._tables.blocked, self._tables.messages
        mine = is_one_of(table.c.slot, slots, self._dialect)
        names = ("id", "slot", *MESSAGE_COLUMNS)
        columns = [messages.c[name] for name in names]
        keys = (
            select(table.c.order_key, table.c.slot, table.c.attempts, *columns)
            .outerjoin(messages, messages.c.id == table.c.head)
            .where(mine, table.c.due_at <= epoch_now())
            .order_by(table.c.due_at)
            .limit(limit)
        )
        later = select(func.min(table.c.due_at) - epoch_now()).where(
            mine, table.c.due_at > epoch_now()
        )

        async def work(connection: AsyncConnection) -> DueKeys:
            found: Sequence[Any] = (await connection.execute(keys)).all()
            next_in = (await connection.execute(later)).scalar()
            due = [
                DueKey(
                    BlockedKey(row[0], row[1], row[3], row[2]),
                    waiting_of(row[3:]) if row[3] is not None else None,
                )
                for row in found
            ]
            return DueKeys(due, float(next_in) if next_in is not None else None)

        return await self._reading(work)

    # -- settling ------------------------------------------------------------------------------

    async def settle(self, relay_id: int, settlement: Settlement) -> None:
        """Write what has become of messages, all or nothing; doing so twice is no harm.

        Raises:
            RelayLeaseLostError: the lease has run out; nothing was changed.
        """
        deletes = settlement.only_delivered and self._tables.archive is None
        if deletes and self._dialect.name == "postgresql":
            statement = self._statements.delete_under_lease
            values = {"relay_id": relay_id, "delivered": settlement.delivered}
            found = await self._query(statement, values)
            if not found.scalar():
                raise RelayLeaseLostError(relay_id)
            return

        async def work(connection: AsyncConnection) -> None:
            if (await connection.execute(self._statements.lease_of(relay_id))).first() is None:
                raise RelayLeaseLostError(relay_id)
            await self._remove(connection, settlement.delivered)
            await self._park(connection, settlement.parked)
            await self._block(connection, list(settlement.failed.values()))
            await self._heal(connection, settlement.healed)

        await self._in_transaction(work)

    async def _remove(self, connection: AsyncConnection, positions: Sequence[int]) -> None:
        if not positions:
            return
        messages, archive = self._tables.messages, self._tables.archive
        found = is_one_of(messages.c.id, positions, self._dialect)
        if archive is not None:
            columns = ["id", *MESSAGE_COLUMNS, "recorded_at"]
            kept = select(*(messages.c[name] for name in columns), epoch_now()).where(found)
            await connection.execute(insert(archive).from_select([*columns, "delivered_at"], kept))
        await connection.execute(delete(messages).where(found))

    async def _park(self, connection: AsyncConnection, parked: Sequence[tuple[int, str]]) -> None:
        if not parked:
            return
        rows = [{"id": position, "key_digest": digest_of(key)} for position, key in parked]
        await connection.execute(insert_missing(self._tables.parked, self._dialect), rows)
        await self._hide(connection, [position for position, _ in parked])

    async def _hide(self, connection: AsyncConnection, positions: Sequence[int]) -> None:
        """Let reads pass over messages."""
        table = self._tables.messages
        found = is_one_of(table.c.id, positions, self._dialect)
        hidden = update(table).where(found, table.c.slot >= 0).values(slot=-1 - table.c.slot)
        await connection.execute(hidden)

    async def _block(self, connection: AsyncConnection, failed: Sequence[FailedKey]) -> None:
        if not failed:
            return
        table = self._tables.blocked
        changing = ("head", "attempts", "due_at", "error")
        retry_in = bindparam("retry_in", type_=Double[float]())  # null makes due_at null
        statement = upsert(table, self._dialect, "key_digest", changing).values(
            due_at=epoch_now() + retry_in, failed_at=epoch_now()
        )
        rows = [
            {
                "key_digest": digest_of(entry.key),
                "slot": entry.slot,
                "head": entry.position,
                "attempts": entry.attempts,
                "order_key": entry.key,
                "error": entry.error.replace("\0", "\N{SYMBOL FOR NULL}"),
                "retry_in": entry.retry_in,
            }
            for entry in failed
        ]
        await connection.execute(statement, rows)
        await self._hide(connection, [entry.position for entry in failed])

    async def _heal(self, connection: AsyncConnection, keys: Sequence[str]) -> None:
        if not keys:
            return
        messages, parked, blocked = self._tables.messages, self._tables.parked, self._tables.blocked
        digests = [digest_of(key) for key in keys]
        behind = parked.c.key_digest.in_(digests)
        freed = select(parked.c.id).where(behind)
        await connection.execute(
            update(messages)
            .where(messages.c.id.in_(freed), messages.c.slot < 0)
            .values(slot=-1 - messages.c.slot)
        )
        await connection.execute(delete(parked).where(behind))
        await connection.execute(delete(blocked).where(blocked.c.key_digest.in_(digests)))
