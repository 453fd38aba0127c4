"""Publishes to the broker in memory."""

from collections.abc import Sequence

from cqrs_ddd_core import OutboxMessage
from cqrs_ddd_messaging.errors import UnroutableMessageError
from cqrs_ddd_messaging.memory.bus import InMemoryMessageBus
from cqrs_ddd_messaging.publishing import publish_by_key
from cqrs_ddd_messaging.serializer import EnvelopeSerializer


class InMemoryPublisher:
    """Publishes to an ``InMemoryMessageBus`` (see ``IMessagePublisher``).

    Attributes:
        published: every message that was confirmed, in order.
    """

    def __init__(
        self, bus: InMemoryMessageBus, *, serializer: EnvelopeSerializer | None = None
    ) -> None:
        self._bus, self._serializer = bus, serializer or EnvelopeSerializer()
        self.published: list[OutboxMessage] = []

    async def publish(self, messages: Sequence[OutboxMessage]) -> Sequence[Exception | None]:
        """Publish ``messages``; one whose type no queue is bound to is unroutable."""
        self._bus.check()
        return await publish_by_key(messages, self._send)

    async def _send(self, message: OutboxMessage) -> None:
        envelope = await self._serializer.wrap(message)
        if not self._bus.publish(envelope, message.event_type):
            raise UnroutableMessageError(message.message_id, f"type {message.event_type!r}")
        self.published.append(message)

    def assert_published(self, event_type: str, times: int | None = None) -> None:
        """Fail unless messages of this type were published, so often if ``times`` is given."""
        found = sum(message.event_type == event_type for message in self.published)
        if found != times if times is not None else not found:
            types = sorted({message.event_type for message in self.published})
            expected = "published" if times is None else f"published {times} times"
            raise AssertionError(f"{event_type} was not {expected}, but {found} times: {types}")
