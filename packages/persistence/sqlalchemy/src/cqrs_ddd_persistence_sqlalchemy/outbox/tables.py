"""The tables of an outbox."""

from dataclasses import dataclass

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    event,
)

from cqrs_ddd_core.ports import OutboxMessage
from cqrs_ddd_persistence_sqlalchemy.types import UtcDateTime, bytes_type, json_type, text_type

MESSAGE_COLUMNS = tuple(OutboxMessage.__dataclass_fields__)

# A transaction gets its number before its messages get their positions. Without that, a relay
# could pass over a message whose transaction begins to count only after the relay has looked.
NUMBER_FIRST = "pg_current_xact_id"
_NUMBER_FIRST = DDL(
    "ALTER TABLE %(table)s ALTER COLUMN id SET DEFAULT nextval(CASE WHEN "
    f"{NUMBER_FIRST}() IS NOT NULL THEN pg_get_serial_sequence('%(table)s', 'id')::regclass END)"
).execute_if(dialect="postgresql")


@dataclass(frozen=True)
class OutboxTables:
    """What an outbox keeps where.

    Attributes:
        messages: those that wait. ``slot`` is negative (-1 - slot) while a message is parked or
            has failed, so that reads pass over it.
        blocked: order keys whose first message has failed, by a digest of the key.
        parked: which message waits behind which blocked key.
        relays: who relays, and until when; its id is the fencing token.
        slots: which relay holds which slot.
        archive: messages that were delivered; None where they are deleted.
    """

    messages: Table
    blocked: Table
    parked: Table
    relays: Table
    slots: Table
    archive: Table | None

    def all(self) -> tuple[Table, ...]:
        """Return every table."""
        tables = (self.messages, self.blocked, self.parked, self.relays, self.slots)
        return tables if self.archive is None else (*tables, self.archive)


def outbox_table(name: str = "outbox", metadata: MetaData | None = None) -> Table:
    """Return the table of the messages that wait.

    Ids are never given twice, also after all messages have gone: they are what a relay remembers.
    """
    table = Table(
        name,
        metadata if metadata is not None else MetaData(),
        _position(),
        Column("slot", SmallInteger(), nullable=False),
        Column("message_id", text_type(key=True), nullable=False, unique=True),
        *_message_columns(),
        sqlite_autoincrement=True,
    )
    event.listen(table, "after_create", _NUMBER_FIRST)
    return table


def outbox_tables(name: str = "outbox", *, archive: bool = False) -> OutboxTables:
    """Return all tables of the outbox called ``name``."""
    metadata = MetaData()
    return OutboxTables(
        messages=outbox_table(name, metadata),
        blocked=Table(
            f"{name}_blocked",
            metadata,
            Column("key_digest", text_type(key=True), primary_key=True),
            Column("slot", SmallInteger(), nullable=False),
            Column("head", BigInteger(), nullable=False),
            Column("attempts", Integer(), nullable=False),
            Column("due_at", Double[float]()),  # seconds since 1970; null: a dead letter
            Column("failed_at", Double[float](), nullable=False),
            Column("order_key", text_type(), nullable=False),
            Column("error", text_type(), nullable=False),
            Index(f"{name}_blocked_due", "slot", "due_at"),
            Index(f"{name}_blocked_head", "head"),
        ),
        parked=Table(
            f"{name}_parked",
            metadata,
            Column("id", BigInteger(), primary_key=True, autoincrement=False),
            Column("key_digest", text_type(key=True), nullable=False, index=True),
        ),
        relays=Table(
            f"{name}_relays",
            metadata,
            _position(),
            Column("name", text_type(), nullable=False),
            Column("until", Double[float](), nullable=False),
            sqlite_autoincrement=True,
        ),
        slots=Table(
            f"{name}_slots",
            metadata,
            Column("slot", SmallInteger(), primary_key=True, autoincrement=False),
            Column("relay_id", BigInteger()),
        ),
        archive=_archive(name, metadata) if archive else None,
    )


def _archive(name: str, metadata: MetaData) -> Table:
    return Table(
        f"{name}_archive",
        metadata,
        Column("id", BigInteger(), primary_key=True, autoincrement=False),
        Column("message_id", text_type(key=True), nullable=False, index=True),
        *_message_columns(),
        Column("delivered_at", Double[float](), nullable=False, index=True),
    )


def _position() -> Column[int]:
    kind = BigInteger().with_variant(Integer(), "sqlite")
    return Column("id", kind, primary_key=True, autoincrement=True)


def _message_columns() -> list[Column[object]]:
    """Return the columns of a message, without its id."""
    return [
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
    ]
