"""The consumer runtime: the same for every broker."""

from cqrs_ddd_core.cqrs.consumers.consumer import BaseEventConsumer
from cqrs_ddd_core.cqrs.consumers.decoding import MessageDecoder, UnknownMessageTypeError
from cqrs_ddd_core.cqrs.consumers.effects import MessageHandler, RegisteredHandlers
from cqrs_ddd_core.cqrs.consumers.session import RedeliveredTooOftenError
from cqrs_ddd_core.cqrs.consumers.settings import ConsumerSettings

__all__ = [
    "BaseEventConsumer",
    "ConsumerSettings",
    "MessageDecoder",
    "MessageHandler",
    "RedeliveredTooOftenError",
    "RegisteredHandlers",
    "UnknownMessageTypeError",
]
