"""Looking after an outbox: how it stands, and what was archived."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Select, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_core.ports import OutboxStatistics
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_persistence_sqlalchemy.outbox.base import OutboxBase, now_plus
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import epoch_now


class OutboxOperations(OutboxBase):
    """Figures of an outbox, and its archive (see ``IOutboxOperations``)."""

    async def statistics(self) -> OutboxStatistics:
        """Return how the outbox stands."""
        tables = self._tables
        messages, blocked, archive = tables.messages, tables.blocked, tables.archive
        count = func.count()
        dead = blocked.c.due_at.is_(None)
        oldest = (
            select(messages.c.recorded_at)
            .where(messages.c.slot >= 0)
            .order_by(messages.c.id)
            .limit(1)
        )

        async def work(connection: AsyncConnection) -> OutboxStatistics:
            async def number(statement: Select[Any]) -> int:
                return (await connection.execute(statement)).scalar_one()

            recorded_at = (await connection.execute(oldest)).scalar()
            return OutboxStatistics(
                waiting=await number(select(count).select_from(messages)),
                parked=await number(select(count).select_from(tables.parked)),
                retrying=await number(select(count).select_from(blocked).where(~dead)),
                dead_letters=await number(select(count).select_from(blocked).where(dead)),
                archived=(
                    0 if archive is None else await number(select(count).select_from(archive))
                ),
                oldest_age=(
                    None if recorded_at is None else (utc_now() - recorded_at).total_seconds()
                ),
                relays=await number(
                    select(count)
                    .select_from(tables.relays)
                    .where(tables.relays.c.until > epoch_now())
                ),
            )

        return await self._reading(work)

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` archived messages delivered before that; return how many."""
        archive = self._tables.archive
        if archive is None:
            return 0
        before = now_plus(-older_than.total_seconds())
        old = select(archive.c.id).where(archive.c.delivered_at < before).limit(limit)

        async def work(connection: AsyncConnection) -> int:
            ids = list((await connection.execute(old)).scalars())
            gone = await connection.execute(delete(archive).where(archive.c.id.in_(ids)))
            return gone.rowcount

        return await self._in_transaction(work)
