"""Saves the events of a unit of work as outgoing messages, in its transaction."""

from collections.abc import Callable, Sequence
from typing import Any

from cqrs_ddd_core.cqrs.codec import JsonMessageCodec
from cqrs_ddd_core.cqrs.context import get_correlation_id, get_tenant_id
from cqrs_ddd_core.domain.event import event_type_of, schema_version_of
from cqrs_ddd_core.ports.message_codec import IMessageCodec
from cqrs_ddd_core.ports.outbox_storage import IOutboxStorage, OutboxMessage
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.ids import new_id


class OutboxMiddleware:
    """An event sink: every event is written to the outbox, if and only if its command commits.

    Args:
        outbox: where messages wait for delivery.
        codec: encodes the events; JSON by default.
        selects: which events to save; all by default.

    Attributes:
        outbox: where messages wait for delivery.
    """

    def __init__(
        self,
        outbox: IOutboxStorage,
        *,
        codec: IMessageCodec | None = None,
        selects: Callable[[Any], bool] = lambda _: True,
    ) -> None:
        self.outbox, self._selects = outbox, selects
        self._codec = codec or JsonMessageCodec()

    async def save_events(self, events: Sequence[Any], uow: IUnitOfWork) -> None:
        """Save those of ``events`` that are selected."""
        messages = [outbox_message(event, self._codec) for event in events if self._selects(event)]
        if messages:
            await self.outbox.save_messages(messages, uow)


def outbox_message(event: object, codec: IMessageCodec) -> OutboxMessage:
    """Return ``event`` as a message: keyed by its aggregate, identified by its own id."""
    aggregate_type: str | None = getattr(event, "aggregate_type", None)
    aggregate_id: str | None = getattr(event, "aggregate_id", None)
    return OutboxMessage(
        message_id=getattr(event, "event_id", None) or new_id(),
        event_type=event_type_of(type(event)),
        schema_version=schema_version_of(type(event)),
        payload=codec.encode(event),
        content_type=codec.content_type,
        occurred_at=getattr(event, "occurred_at", None) or utc_now(),
        partition_key=f"{aggregate_type or ''}/{aggregate_id}" if aggregate_id else "",
        aggregate_type=aggregate_type,
        correlation_id=getattr(event, "correlation_id", None) or get_correlation_id(),
        causation_id=getattr(event, "causation_id", None),
        tenant_id=getattr(event, "tenant_id", None) or get_tenant_id(),
    )
