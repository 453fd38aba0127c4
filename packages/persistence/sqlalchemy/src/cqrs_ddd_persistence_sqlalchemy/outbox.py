"""The outbox table: messages that commit together with what they tell of."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, RowMapping, Table, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_core.ports import IUnitOfWork, OutboxMessage
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.errors import PersistenceError
from cqrs_ddd_persistence_sqlalchemy.errors import translated
from cqrs_ddd_persistence_sqlalchemy.joining import joined
from cqrs_ddd_persistence_sqlalchemy.types import UtcDateTime, bytes_type, json_type, text_type
from cqrs_ddd_persistence_sqlalchemy.writes import Template, Write

_FIELDS = tuple(OutboxMessage.__dataclass_fields__)


def outbox_table(name: str = "outbox", metadata: MetaData | None = None) -> Table:
    """Return the outbox's table."""
    return Table(
        name,
        metadata if metadata is not None else MetaData(),
        Column(
            "id",
            BigInteger().with_variant(Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        Column("message_id", text_type(key=True), nullable=False, unique=True),
        Column("event_type", text_type(key=True), nullable=False),
        Column("schema_version", Integer(), nullable=False),
        Column("payload", bytes_type(), nullable=False),
        Column("content_type", text_type(key=True), nullable=False),
        Column("partition_key", text_type(), nullable=False),
        Column("aggregate_type", text_type()),
        Column("occurred_at", UtcDateTime(), nullable=False),
        Column("recorded_at", UtcDateTime(), nullable=False),
        Column("correlation_id", text_type()),
        Column("causation_id", text_type()),
        Column("tenant_id", text_type()),
        Column("headers", json_type(), nullable=False),
    )


class SQLAlchemyOutboxStorage:
    """Outgoing messages in a table (see ``IOutboxStorage``).

    Args:
        session_factory: the one that the units of work are made with.
        table: the table's name.
    """

    def __init__(
        self, session_factory: async_sessionmaker[AsyncSession], *, table: str = "outbox"
    ) -> None:
        self._session_factory = session_factory
        self.table = outbox_table(table)
        self._insert = Template(self.table, "insert", (*_FIELDS, "recorded_at"))

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
        statement = select(self.table).order_by(self.table.c.id).limit(limit)
        async with joined(self._session_factory, uow) as transaction:
            rows = (await transaction.read(statement)).mappings().all()
        return [_message(row) for row in rows]

    def _not_saved(self, error: DBAPIError) -> Exception:
        if isinstance(error, IntegrityError):
            return PersistenceError(
                f"A message could not be saved in {self.table.name}: {error.orig}. A message_id "
                "must be unique."
            )
        return translated(error, f"The outbox {self.table.name}")


def _row(message: OutboxMessage) -> dict[str, Any]:
    row = {name: getattr(message, name) for name in _FIELDS}
    row["headers"] = dict(message.headers)
    return row


def _message(row: RowMapping) -> OutboxMessage:
    return OutboxMessage(**{name: row[name] for name in _FIELDS})
