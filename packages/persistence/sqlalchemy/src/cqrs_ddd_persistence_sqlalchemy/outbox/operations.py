"""Looking after an outbox: how it stands, dead letters, redrive, discard, purge."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_core.ports import DeadLetter, OutboxMessage, OutboxStatistics, RetryingMessage
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_persistence_sqlalchemy.outbox.base import OutboxBase, message_of, now_plus
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import epoch_now
from cqrs_ddd_persistence_sqlalchemy.outbox.tables import MESSAGE_COLUMNS


class OutboxOperations(OutboxBase):
    """What people and their tools do with an outbox (see ``IOutboxOperations``)."""

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

    async def dead_letters(self, limit: int = 100) -> Sequence[DeadLetter]:
        """Return at most ``limit`` dead letters, the longest dead first."""
        blocked = self._tables.blocked
        statement = self._failed().where(blocked.c.due_at.is_(None))
        statement = statement.order_by(blocked.c.failed_at, blocked.c.head).limit(limit)
        found = await self._query(statement)
        return [DeadLetter(*_what_is_known_of(row)) for row in found.mappings()]

    async def retrying(self, limit: int = 100) -> Sequence[RetryingMessage]:
        """Return at most ``limit`` messages that have failed and are tried again, soonest first."""
        blocked = self._tables.blocked
        retry_in = (blocked.c.due_at - epoch_now()).label("retry_in")
        statement = self._failed().add_columns(retry_in).where(blocked.c.due_at.is_not(None))
        statement = statement.order_by(blocked.c.due_at, blocked.c.head).limit(limit)
        found = await self._query(statement)
        return [
            RetryingMessage(*_what_is_known_of(row), row["retry_in"]) for row in found.mappings()
        ]

    def _failed(self) -> Select[Any]:
        """Return the statement that finds what blocks a key, and how much waits behind it."""
        messages, blocked, parked = self._tables.messages, self._tables.blocked, self._tables.parked
        behind = (
            select(func.count())
            .select_from(parked)
            .where(parked.c.key_digest == blocked.c.key_digest)
            .scalar_subquery()
        )
        columns = (blocked.c.error, blocked.c.attempts, blocked.c.failed_at, behind.label("behind"))
        messages_columns = [messages.c[name] for name in MESSAGE_COLUMNS]
        return select(*columns, *messages_columns).join(messages, messages.c.id == blocked.c.head)

    async def redrive(self, message_ids: Sequence[str] | None = None) -> int:
        """Have dead letters tried again as if they had never failed; return how many."""
        blocked = self._tables.blocked

        async def work(connection: AsyncConnection) -> int:
            heads = await self._dead(connection, message_ids)
            again = update(blocked).where(self._is_dead(heads))
            values = {"due_at": now_plus(0.0), "attempts": 0}
            return (await connection.execute(again.values(values))).rowcount

        return await self._in_transaction(work)

    async def discard(self, message_ids: Sequence[str]) -> int:
        """Remove dead letters for good, so that what waits behind goes on; return how many."""
        messages, blocked = self._tables.messages, self._tables.blocked

        async def work(connection: AsyncConnection) -> int:
            heads = await self._dead(connection, message_ids)
            await connection.execute(delete(messages).where(messages.c.id.in_(heads)))
            freed = update(blocked).where(self._is_dead(heads)).values(due_at=now_plus(0.0))
            return (await connection.execute(freed)).rowcount

        return await self._in_transaction(work)

    async def _dead(
        self, connection: AsyncConnection, message_ids: Sequence[str] | None
    ) -> list[int]:
        """Return where dead letters stand, and lock them against other operators."""
        messages, blocked = self._tables.messages, self._tables.blocked
        found = (
            select(blocked.c.head)
            .join(messages, messages.c.id == blocked.c.head)
            .where(blocked.c.due_at.is_(None))
            .with_for_update(of=blocked)
        )
        if message_ids is not None:
            found = found.where(messages.c.message_id.in_(message_ids))
        return [row[0] for row in await connection.execute(found)]

    def _is_dead(self, heads: Sequence[int]) -> ColumnElement[bool]:
        blocked = self._tables.blocked
        return and_(blocked.c.head.in_(heads), blocked.c.due_at.is_(None))

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


def _what_is_known_of(row: RowMapping) -> tuple[OutboxMessage, str, int, datetime, int]:
    failed_at = datetime.fromtimestamp(row["failed_at"], UTC)
    return message_of(row), row["error"], row["attempts"], failed_at, row["behind"]
