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
    """Return the message that a row holds, in its place: id, slot, then ``MESSAGE_COLUMNS``."""
    position, slot, *values = row
    message = OutboxMessage(**dict(zip(MESSAGE_COLUMNS, values, strict=True)))
    return WaitingMessage(position, slot if slot >= 0 else -1 - slot, message)
