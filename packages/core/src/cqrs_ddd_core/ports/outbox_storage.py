"""The port of the table where outgoing messages wait, written in the business transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.clock import as_utc


@dataclass(slots=True, kw_only=True)
class OutboxMessage:
    """A message on its way out, encoded. Nobody changes one: publishers share it.

    Attributes:
        message_id: unique; a receiver recognises a repeated delivery by it.
        event_type: the stored name of the message's type.
        schema_version: version of the payload's schema.
        payload: the encoded message.
        content_type: how ``payload`` is encoded.
        partition_key: messages with the same key are delivered in the order they were saved.
        occurred_at: when what it tells of happened.
        headers: whatever else travels with it.
    """

    message_id: str
    event_type: str
    payload: bytes
    occurred_at: datetime
    schema_version: int = 1
    content_type: str = "application/json"
    partition_key: str = ""
    aggregate_type: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    tenant_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        """Read a time without a zone as UTC."""
        if self.occurred_at.tzinfo is None:
            self.occurred_at = as_utc(self.occurred_at)


@runtime_checkable
class IOutboxStorage(Protocol):
    """Keeps outgoing messages until they are delivered.

    Joins the unit of work that is given or current: the messages are there if and only if it
    commits. Without one, each call is a transaction of its own.
    """

    async def save_messages(
        self, messages: Sequence[OutboxMessage], uow: IUnitOfWork | None = None
    ) -> None:
        """Save ``messages`` behind those saved before.

        Raises:
            PersistenceError: now or at commit, when a ``message_id`` is there already.
        """
        ...

    async def get_pending(
        self, limit: int = 100, uow: IUnitOfWork | None = None
    ) -> list[OutboxMessage]:
        """Return at most ``limit`` messages that wait, oldest first."""
        ...
