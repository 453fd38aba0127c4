"""Leases on the slots of an outbox."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_core.ports import RelayLease
from cqrs_ddd_core.ports.outbox_relay import SLOTS
from cqrs_ddd_persistence_sqlalchemy.conditions import is_one_of
from cqrs_ddd_persistence_sqlalchemy.outbox.base import OutboxBase, now_plus
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import (
    epoch_now,
    insert_missing,
)


class _Table(NamedTuple):
    """Who holds what; a lease that has run out counts for nothing."""

    alive: set[int]
    owners: dict[int, int | None]

    def slots_of(self, relay_id: int) -> frozenset[int]:
        return frozenset(slot for slot, owner in self.owners.items() if owner == relay_id)

    def to_be_taken(self, relay_id: int) -> list[int]:
        """Return free slots, up to a fair share."""
        free = sorted(slot for slot, owner in self.owners.items() if owner not in self.alive)
        fair = -(-SLOTS // len(self.alive))
        return free[: max(0, fair - len(self.slots_of(relay_id)))]


class OutboxLeases(OutboxBase):
    """Who may read which slot (see ``IOutboxRelayStorage``).

    A lease is extended by one statement, so that a process which is paused holds no lock that
    others would need. Only who has slots to take opens a transaction.
    """

    async def renew(self, relay_id: int | None, name: str, ttl: float) -> RelayLease:
        """Extend the lease by ``ttl`` seconds, and take free slots up to a fair share."""
        own = relay_id
        if own is None or not await self._extended(own, ttl):
            own = await self._join(name, ttl)
        table = await self._reading(self._table)
        table.alive.add(own)  # one that is over at once is its owner's for this call
        if len(table.owners) < SLOTS or table.to_be_taken(own):
            table = await self._take(own)
        return RelayLease(own, table.slots_of(own), len(table.alive))

    async def _extended(self, relay_id: int, ttl: float) -> bool:
        relays = self._tables.relays
        holds = (relays.c.id == relay_id, relays.c.until > epoch_now())
        return await self._change(update(relays).where(*holds).values(until=now_plus(ttl))) > 0

    async def _join(self, name: str, ttl: float) -> int:
        statement = insert(self._tables.relays).values(name=name, until=now_plus(ttl))

        async def work(connection: AsyncConnection) -> int:
            joined = await connection.execute(statement)
            assert joined.inserted_primary_key is not None
            return joined.inserted_primary_key[0]

        return await self._in_transaction(work)

    async def _table(self, connection: AsyncConnection) -> _Table:
        relays, slots = self._tables.relays, self._tables.slots
        alive = await connection.execute(select(relays.c.id).where(relays.c.until > epoch_now()))
        owners = await connection.execute(select(slots.c.slot, slots.c.relay_id))
        return _Table({row.id for row in alive}, {row.slot: row.relay_id for row in owners})

    async def _take(self, own: int) -> _Table:
        """Take what is free, unless another relay is at it; then the next renewal will do."""
        relays, slots = self._tables.relays, self._tables.slots
        first = select(slots.c.slot).where(slots.c.slot == 0)

        async def work(connection: AsyncConnection) -> _Table:
            if (await connection.execute(first)).first() is None:
                rows = [{"slot": slot} for slot in range(SLOTS)]
                await connection.execute(insert_missing(slots, self._dialect), rows)
            mine_now = first.with_for_update(skip_locked=True)
            if (await connection.execute(mine_now)).first() is not None:
                await self._remove_expired(connection, own)
                table = await self._table(connection)
                # A relay whose row could not be removed is settling: it still counts.
                table.alive.update(row.id for row in await connection.execute(select(relays.c.id)))
                taken = table.to_be_taken(own)
                if taken:
                    await connection.execute(
                        update(slots)
                        .where(is_one_of(slots.c.slot, taken, self._dialect))
                        .values(relay_id=own)
                    )
                    table.owners.update(dict.fromkeys(taken, own))
            else:
                table = await self._table(connection)
            table.alive.add(own)
            return table

        return await self._in_transaction(work)

    async def _remove_expired(self, connection: AsyncConnection, own: int) -> None:
        """Remove relays whose lease has run out, but for those that are settling under it."""
        relays = self._tables.relays
        over = (
            select(relays.c.id)
            .where(relays.c.until <= epoch_now(), relays.c.id != own)
            .with_for_update(skip_locked=True)
        )
        ids = [row.id for row in await connection.execute(over)]
        if ids:
            await connection.execute(
                delete(relays).where(is_one_of(relays.c.id, ids, self._dialect))
            )

    async def release(self, relay_id: int, slots: Collection[int]) -> None:
        """Give slots up, so that another relay takes them."""
        table = self._tables.slots
        mine = (table.c.relay_id == relay_id, is_one_of(table.c.slot, slots, self._dialect))
        await self._change(update(table).where(*mine).values(relay_id=None))

    async def leave(self, relay_id: int) -> None:
        """Give everything up."""
        relays, slots = self._tables.relays, self._tables.slots
        await self._change(update(slots).where(slots.c.relay_id == relay_id).values(relay_id=None))
        await self._change(delete(relays).where(relays.c.id == relay_id))
