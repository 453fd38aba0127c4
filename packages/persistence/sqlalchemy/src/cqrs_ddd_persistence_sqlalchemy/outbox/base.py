"""What the parts of the outbox on SQL share: tables, engine, short transactions."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, CursorResult, Dialect, Executable, RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports import OutboxMessage, WaitingMessage
from cqrs_ddd_persistence_sqlalchemy.engine import READ_ONLY
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import epoch_now
from cqrs_ddd_persistence_sqlalchemy.outbox.tables import MESSAGE_COLUMNS, OutboxTables
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import engine_of

T = TypeVar("T")


class OutboxBase:
    """The tables of an outbox, and transactions of its own on them."""

    _session_factory: async_sessionmaker[AsyncSession]
    _tables: OutboxTables

    @property
    def _engine(self) -> AsyncEngine:
        return engine_of(self._session_factory)

    @property
    def _dialect(self) -> Dialect:
        return self._engine.dialect

    async def _in_transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run ``work`` in a transaction of its own, to its end even when the task is cancelled."""

        async def run() -> T:
            async with self._engine.begin() as connection:
                return await work(connection)

        return await shielded(run())

    async def _query(self, statement: Executable, values: Any = None) -> CursorResult[Any]:
        """Run one statement, which commits by itself (on SQLite: which reads)."""

        async def work(connection: AsyncConnection) -> CursorResult[Any]:
            return await connection.execute(statement, values)

        return await self._reading(work)

    async def _change(self, statement: Executable) -> int:
        """Run one statement that writes and commits; return how many rows it changed."""

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(statement)).rowcount

        is_sqlite = self._dialect.name == "sqlite"
        return await (self._in_transaction(work) if is_sqlite else self._reading(work))

    async def _reading(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run ``work``, which reads: without BEGIN, or on SQLite without the lock of a writer."""
        options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"}
        if self._dialect.name == "sqlite":
            options = {READ_ONLY: True}

        async def run() -> T:
            async with self._engine.connect() as connection:
                return await work(await connection.execution_options(**options))

        return await shielded(run())


def now_plus(seconds: float) -> ColumnElement[float]:
    """Return the time by the database, so many seconds from now."""
    return epoch_now() + seconds


def message_of(row: RowMapping) -> OutboxMessage:
    """Return the message that a row holds."""
    return OutboxMessage(**{name: row[name] for name in MESSAGE_COLUMNS})


def waiting_of(row: Sequence[Any]) -> WaitingMessage:
    """Return the message that a row holds, in its place: id, slot, ``MESSAGE_COLUMNS``.

    The fields are spelled out, for this is where a relay spends its time.
    """
    # fmt: off
    (
        position, slot,
        message_id, event_type, payload, occurred_at, schema_version, content_type, partition_key,
        aggregate_type, correlation_id, causation_id, tenant_id, headers,
        *_,
    ) = row
    # fmt: on
    message = OutboxMessage(
        message_id=message_id,
        event_type=event_type,
        payload=payload,
        occurred_at=occurred_at,
        schema_version=schema_version,
        content_type=content_type,
        partition_key=partition_key,
        aggregate_type=aggregate_type,
        correlation_id=correlation_id,
        causation_id=causation_id,
        tenant_id=tenant_id,
        headers=headers,
    )
    return WaitingMessage(position, slot if slot >= 0 else -1 - slot, message)
