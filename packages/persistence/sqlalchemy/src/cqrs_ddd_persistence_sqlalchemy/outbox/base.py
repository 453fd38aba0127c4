"""What the parts of the outbox on SQL share: tables, rows, the database's time."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping

from cqrs_ddd_core.ports import OutboxMessage, WaitingMessage
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import epoch_now
from cqrs_ddd_persistence_sqlalchemy.outbox.tables import MESSAGE_COLUMNS, OutboxTables
from cqrs_ddd_persistence_sqlalchemy.own_transactions import OwnTransactions


class OutboxBase(OwnTransactions):
    """The tables of an outbox, and transactions of its own on them."""

    _tables: OutboxTables


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
