"""Leases on the slots of an outbox."""

from collections.abc import Collection

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_core.ports import RelayLease
from cqrs_ddd_core.ports.outbox_relay import SLOTS
from cqrs_ddd_persistence_sqlalchemy.outbox.base import OutboxBase, now_plus
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import (
    epoch_now,
    insert_missing,
    is_one_of,
)


class OutboxLeases(OutboxBase):
    """Who may read which slot (see ``IOutboxRelayStorage``)."""

    async def renew(self, relay_id: int | None, name: str, ttl: float) -> RelayLease:
        """Extend the lease by ``ttl`` seconds, and take free slots up to a fair share."""

        async def work(connection: AsyncConnection) -> RelayLease:
            relays, slots = self._tables.relays, self._tables.slots
            await self._one_at_a_time(connection)
            await connection.execute(delete(relays).where(relays.c.until <= epoch_now()))
            own = await self._extend(connection, relay_id, name, ttl)
            alive = set((await connection.execute(select(relays.c.id))).scalars())
            owners = (await connection.execute(select(slots.c.slot, slots.c.relay_id))).all()
            holders = {row.slot: row.relay_id for row in owners}
            mine = {slot for slot, owner in holders.items() if owner == own}
            free = sorted(slot for slot, owner in holders.items() if owner not in alive | {own})
            fair = -(-SLOTS // max(1, len(alive | {own})))
            taken = free[: max(0, fair - len(mine))]
            if taken:
                await connection.execute(
                    update(slots)
                    .where(is_one_of(slots.c.slot, taken, self._dialect))
                    .values(relay_id=own)
                )
            return RelayLease(own, frozenset(mine.union(taken)), len(alive | {own}))

        return await self._in_transaction(work)

    async def _one_at_a_time(self, connection: AsyncConnection) -> None:
        """Let no other relay change leases before this transaction ends."""
        slots = self._tables.slots
        lock = select(slots.c.slot).where(slots.c.slot == 0).with_for_update()
        if (await connection.execute(lock)).first() is None:
            rows = [{"slot": slot} for slot in range(SLOTS)]
            await connection.execute(insert_missing(slots, self._dialect), rows)
            await connection.execute(lock)

    async def _extend(
        self, connection: AsyncConnection, relay_id: int | None, name: str, ttl: float
    ) -> int:
        """Extend a lease that still holds, or begin a new one; return its id."""
        relays = self._tables.relays
        if relay_id is not None:
            extended = update(relays).where(relays.c.id == relay_id).values(until=now_plus(ttl))
            if (await connection.execute(extended)).rowcount:
                return relay_id
        joined = await connection.execute(insert(relays).values(name=name, until=now_plus(ttl)))
        assert joined.inserted_primary_key is not None
        return joined.inserted_primary_key[0]

    async def release(self, relay_id: int, slots: Collection[int]) -> None:
        """Give slots up, so that another relay takes them."""
        table = self._tables.slots
        statement = (
            update(table)
            .where(table.c.relay_id == relay_id, is_one_of(table.c.slot, slots, self._dialect))
            .values(relay_id=None)
        )
        await self._in_transaction(lambda connection: connection.execute(statement))

    async def leave(self, relay_id: int) -> None:
        """Give everything up."""
        relays, slots = self._tables.relays, self._tables.slots

        async def work(connection: AsyncConnection) -> None:
            await self._one_at_a_time(connection)
            await connection.execute(
                update(slots).where(slots.c.relay_id == relay_id).values(relay_id=None)
            )
            await connection.execute(delete(relays).where(relays.c.id == relay_id))

        await self._in_transaction(work)
