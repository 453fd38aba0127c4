"""A broker in memory, with the promises of the real ones."""

from cqrs_ddd_messaging.memory.bus import InMemoryMessageBus, ParkedEnvelope
from cqrs_ddd_messaging.memory.consumer import InMemoryConsumer
from cqrs_ddd_messaging.memory.publisher import InMemoryPublisher

__all__ = ["InMemoryConsumer", "InMemoryMessageBus", "InMemoryPublisher", "ParkedEnvelope"]
