"""The outbox in tables: messages that commit together with what they tell of."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_core.ports import IUnitOfWork, OutboxMessage, order_key_of, slot_of
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.errors import PersistenceError
from cqrs_ddd_persistence_sqlalchemy.errors import translated
from cqrs_ddd_persistence_sqlalchemy.joining import joined
from cqrs_ddd_persistence_sqlalchemy.outbox.base import message_of
from cqrs_ddd_persistence_sqlalchemy.outbox.failures import OutboxFailures
from cqrs_ddd_persistence_sqlalchemy.outbox.leases import OutboxLeases
from cqrs_ddd_persistence_sqlalchemy.outbox.operations import OutboxOperations
from cqrs_ddd_persistence_sqlalchemy.outbox.relaying import OutboxRelaying
from cqrs_ddd_persistence_sqlalchemy.outbox.tables import MESSAGE_COLUMNS, outbox_tables
from cqrs_ddd_persistence_sqlalchemy.writes import Template, Write


class SQLAlchemyOutboxStorage(OutboxLeases, OutboxRelaying, OutboxFailures, OutboxOperations):
    """Outgoing messages in tables, for units of work, relays and people.

    See ``IOutboxStorage``, ``IOutboxRelayStorage`` and ``IOutboxOperations``.

    Args:
        session_factory: the one that the units of work are made with.
        table: the name of the table of messages; those of the other tables begin with it.
        archive: keep messages that have been delivered, until they are purged.
    """

    def __init__(
        self,
        session_factory: async_sessionmaker[AsyncSession],
        *,
        table: str = "outbox",
        archive: bool = False,
    ) -> None:
        self._session_factory = session_factory
        self._tables = outbox_tables(table, archive=archive)
        columns = (*MESSAGE_COLUMNS, "slot", "recorded_at")
        self._insert = Template(self._tables.messages, "insert", columns)

    @property
    def tables(self) -> Sequence[Table]:
        """The tables, for ``create_schema``."""
        return self._tables.all()

    async def save_messages(
        self, messages: Sequence[OutboxMessage], uow: IUnitOfWork | None = None
    ) -> None:
        """Save ``messages`` behind those saved before.

        Raises:
            PersistenceError: now or at commit, when a ``message_id`` is there already.
        """
        if not messages:
            return
        recorded_at = utc_now()
        rows = [{**_row(message), "recorded_at": recorded_at} for message in messages]
        async with joined(self._session_factory, uow) as transaction:
            transaction.write(Write(self._insert, rows, self._not_saved))

    async def get_pending(
        self, limit: int = 100, uow: IUnitOfWork | None = None
    ) -> list[OutboxMessage]:
        """Return at most ``limit`` messages that wait, oldest first."""
        table = self._tables.messages
        statement = select(table).order_by(table.c.id).limit(limit)
        async with joined(self._session_factory, uow) as transaction:
            rows = (await transaction.read(statement)).mappings().all()
        return [message_of(row) for row in rows]

    def _not_saved(self, error: DBAPIError) -> Exception:
        name = self._tables.messages.name
        if isinstance(error, IntegrityError):
            return PersistenceError(
                f"A message could not be saved in {name}: {error.orig}. A message_id must be "
                "unique."
            )
        return translated(error, f"The outbox {name}")


def _row(message: OutboxMessage) -> dict[str, Any]:
    row = {name: getattr(message, name) for name in MESSAGE_COLUMNS}
    row["slot"] = slot_of(order_key_of(message))
    row["headers"] = dict(message.headers)
    return row
