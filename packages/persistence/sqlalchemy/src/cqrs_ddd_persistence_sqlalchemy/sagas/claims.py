"""How workers lease sagas."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, Table, and_, bindparam, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_advanced_core.sagas import SagaInstance
from cqrs_ddd_persistence_sqlalchemy.conditions import is_one_of
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import epoch_now
from cqrs_ddd_persistence_sqlalchemy.own_transactions import OwnTransactions
from cqrs_ddd_persistence_sqlalchemy.sagas.rows import saga_of


class SagaClaims(OwnTransactions):
    """Leases on the rows of a table of sagas (see ``ISagaRepository``)."""

    _table: Table

    async def claim(
        self, saga_types: Collection[str], *, worker: str, lease: float, limit: int = 10
    ) -> Sequence[SagaInstance]:
        """Lease sagas whose ``wake_at`` has come and that nobody holds, the longest due first."""
        table = self._table
        due = (
            select(table.c.saga_id)
            .where(
                table.c.wake_at <= epoch_now(),
                or_(table.c.lease_until.is_(None), table.c.lease_until <= epoch_now()),
                is_one_of(table.c.saga_type, list(saga_types), self._dialect),
            )
            .order_by(table.c.wake_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        # MariaDB locks what it reads: sorted by hand, that is all that is due, and others get none.
        for dialect in ("mysql", "mariadb"):
            due = due.with_hint(table, f"FORCE INDEX (`{table.name}_wake_at`)", dialect)
        values: dict[str, Any] = {
            "version": table.c.version + 1,
            "epoch": table.c.epoch + 1,
            "worker": worker,
            "lease_until": epoch_now() + lease,
        }
        if self._dialect.name == "postgresql":
            picked = due.cte("picked")  # never evaluated twice, other than a subquery
            statement: Executable = (
                update(table)
                .where(table.c.saga_id == picked.c.saga_id)
                .values(values)
                .returning(table)
            )
            found = await self._query(statement)
            return sorted(map(saga_of, found.mappings()), key=_due_order)

        async def work(connection: AsyncConnection) -> list[SagaInstance]:
            ids = list((await connection.execute(due)).scalars())
            if not ids:
                return []
            chosen = table.c.saga_id.in_(ids)
            await connection.execute(update(table).where(chosen).values(values))
            rows = (await connection.execute(select(table).where(chosen))).mappings()
            return sorted(map(saga_of, rows), key=_due_order)

        return await self._repeated(work)

    async def renew(self, leases: Mapping[str, int], *, lease: float) -> Collection[str]:
        """Renew leases, by saga and epoch; return the ids of the sagas still held."""
        table = self._table
        held = and_(
            table.c.saga_id == bindparam("held_id"),
            table.c.epoch == bindparam("held_epoch"),
            table.c.lease_until > epoch_now(),
        )
        renewed = update(table).where(held).values(lease_until=epoch_now() + lease)

        async def work(connection: AsyncConnection) -> list[str]:
            kept: list[str] = []
            for saga_id in sorted(leases):
                values = {"held_id": saga_id, "held_epoch": leases[saga_id]}
                if (await connection.execute(renewed, values)).rowcount:
                    kept.append(saga_id)
            return kept

        return await self._repeated(work) if leases else []

    async def release(self, saga_id: str, epoch: int) -> None:
        """Give up a lease, if it still holds."""
        table = self._table
        held = and_(table.c.saga_id == saga_id, table.c.epoch == epoch)
        await self._change(update(table).where(held).values(lease_until=None))

    async def next_due_in(self, saga_types: Collection[str]) -> float | None:
        """Return the seconds until the next saga can be claimed; None without one."""
        table = self._table
        waits = and_(
            table.c.wake_at.is_not(None),
            is_one_of(table.c.saga_type, list(saga_types), self._dialect),
        )
        later = case(
            (table.c.lease_until > table.c.wake_at, table.c.lease_until), else_=table.c.wake_at
        )
        free = select(func.min(table.c.wake_at)).where(waits, table.c.lease_until.is_(None))
        held = select(func.min(later)).where(waits, table.c.lease_until.is_not(None))
        found = await self._query(
            select(free.scalar_subquery(), held.scalar_subquery(), epoch_now())
        )
        *times, now = found.one()
        due = [float(time) for time in times if time is not None]
        return max(0.0, min(due) - float(now)) if due else None


def _due_order(saga: SagaInstance) -> tuple[Any, ...]:
    return saga.wake_at, saga.created_at, saga.saga_id
