"""Delivers what units of work have written to the outbox."""

from cqrs_ddd_core.cqrs.outbox.buffered_outbox import BufferedOutbox, RelayableOutbox
from cqrs_ddd_core.cqrs.outbox.durable import DurableHandlerPublisher, EarlierMessageFailedError
from cqrs_ddd_core.cqrs.outbox.fan_out import FanOutPublisher
from cqrs_ddd_core.cqrs.outbox.relay import Relay
from cqrs_ddd_core.cqrs.outbox.service import OutboxService
from cqrs_ddd_core.cqrs.outbox.settings import RelaySettings

__all__ = [
    "BufferedOutbox",
    "DurableHandlerPublisher",
    "EarlierMessageFailedError",
    "FanOutPublisher",
    "OutboxService",
    "Relay",
    "RelaySettings",
    "RelayableOutbox",
]
