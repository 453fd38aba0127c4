"""Messages that have failed: those that are tried again, and dead letters."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_core.ports import DeadLetter, DeadLetterFilter, OutboxMessage, RetryingMessage
from cqrs_ddd_persistence_sqlalchemy.conditions import is_one_of
from cqrs_ddd_persistence_sqlalchemy.outbox.base import OutboxBase, message_of, now_plus
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import epoch_now
from cqrs_ddd_persistence_sqlalchemy.outbox.tables import MESSAGE_COLUMNS

_EVERY = DeadLetterFilter()
_AT_ONCE = 1000  # letters in one transaction, so that no relay waits long


class OutboxFailures(OutboxBase):
    """What people and their tools do about failed messages (see ``IOutboxOperations``)."""

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

    async def dead_letters(
        self, limit: int = 100, *, matching: DeadLetterFilter = _EVERY, after: int = 0
    ) -> Sequence[DeadLetter]:
        """Return at most ``limit`` dead letters, in the order in which they were saved."""
        blocked = self._tables.blocked
        statement = self._failed().where(self._matches(matching), blocked.c.head > after)
        found = await self._query(statement.order_by(blocked.c.head).limit(limit))
        return [DeadLetter(*_what_is_known_of(row), row["head"]) for row in found.mappings()]

    async def count_dead_letters(self, matching: DeadLetterFilter = _EVERY) -> int:
        """Return how many dead letters match."""
        found = await self._query(self._of_heads(func.count()).where(self._matches(matching)))
        return found.scalar_one()

    async def redrive(self, matching: DeadLetterFilter = _EVERY) -> int:
        """Have dead letters tried again as if they had never failed; return how many."""

        async def act(connection: AsyncConnection, heads: Sequence[int]) -> int:
            return await self._make_due(connection, heads, attempts=0)

        return await self._in_batches(matching, act)

    async def discard(self, matching: DeadLetterFilter) -> int:
        """Remove dead letters for good, so that what waits behind goes on; return how many."""
        messages = self._tables.messages

        async def act(connection: AsyncConnection, heads: Sequence[int]) -> int:
            gone = delete(messages).where(is_one_of(messages.c.id, heads, self._dialect))
            await connection.execute(gone)
            return await self._make_due(connection, heads)

        return await self._in_batches(matching, act)

    async def _make_due(
        self, connection: AsyncConnection, heads: Sequence[int], **values: Any
    ) -> int:
        due = update(self._tables.blocked).where(self._are_dead(heads))
        return (await connection.execute(due.values(due_at=now_plus(0.0), **values))).rowcount

    async def _in_batches(
        self,
        matching: DeadLetterFilter,
        act: Callable[[AsyncConnection, Sequence[int]], Awaitable[int]],
    ) -> int:
        """Do it to all letters that match, in short transactions, to each letter once."""
        blocked, after, done = self._tables.blocked, 0, 0
        page = self._of_heads(blocked.c.head).where(self._matches(matching))
        while True:
            statement = page.where(blocked.c.head > after).order_by(blocked.c.head).limit(_AT_ONCE)
            heads = list((await self._query(statement)).scalars())
            if not heads:
                return done

            async def work(connection: AsyncConnection, heads: Sequence[int] = heads) -> int:
                # Whoever else chooses the same letters waits here, and finds them dead no more.
                locked = select(blocked.c.head).where(self._are_dead(heads)).with_for_update()
                still_dead = list((await connection.execute(locked)).scalars())
                return await act(connection, still_dead) if still_dead else 0

            done += await self._in_transaction(work)
            after = heads[-1]

    def _matches(self, wanted: DeadLetterFilter) -> ColumnElement[bool]:
        """Return the condition on a dead letter and its message."""
        messages, blocked = self._tables.messages.c, self._tables.blocked.c
        chosen = (
            (messages.message_id, wanted.message_ids),
            (messages.event_type, wanted.event_types),
            (messages.partition_key, wanted.partition_keys),
        )
        conditions: list[ColumnElement[bool]] = [
            is_one_of(column, values, self._dialect)
            for column, values in chosen
            if values is not None
        ]
        if wanted.older_than is not None:
            conditions.append(blocked.failed_at < now_plus(-wanted.older_than.total_seconds()))
        if wanted.newer_than is not None:
            conditions.append(blocked.failed_at >= now_plus(-wanted.newer_than.total_seconds()))
        if wanted.error:
            position_of = func.strpos if self._dialect.name == "postgresql" else func.instr
            conditions.append(position_of(blocked.error, wanted.error) > 0)
        return and_(blocked.due_at.is_(None), *conditions)

    def _are_dead(self, heads: Sequence[int]) -> ColumnElement[bool]:
        blocked = self._tables.blocked.c
        return and_(is_one_of(blocked.head, heads, self._dialect), blocked.due_at.is_(None))

    def _of_heads(self, *columns: ColumnElement[Any]) -> Select[Any]:
        """Return what selects from the blocked keys, each with the message that blocks it."""
        messages, blocked = self._tables.messages, self._tables.blocked
        both = blocked.join(messages, messages.c.id == blocked.c.head)
        return select(*columns).select_from(both)

    def _failed(self) -> Select[Any]:
        """Return what finds all that is known of failed messages, and how much waits behind."""
        messages, blocked, parked = self._tables.messages, self._tables.blocked, self._tables.parked
        behind = (
            select(func.count())
            .select_from(parked)
            .where(parked.c.key_digest == blocked.c.key_digest)
            .scalar_subquery()
        )
        known = (blocked.c.error, blocked.c.attempts, blocked.c.failed_at, blocked.c.head)
        return self._of_heads(
            *known, behind.label("behind"), *(messages.c[name] for name in MESSAGE_COLUMNS)
        )


def _what_is_known_of(row: RowMapping) -> tuple[OutboxMessage, str, int, datetime, int]:
    failed_at = datetime.fromtimestamp(row["failed_at"], UTC)
    return message_of(row), row["error"], row["attempts"], failed_at, row["behind"]
