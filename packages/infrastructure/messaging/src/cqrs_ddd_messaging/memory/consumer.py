"""Consumes from the broker in memory."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from cqrs_ddd_core import BrokerUnavailableError, Delivery, OutboxMessage
from cqrs_ddd_messaging.dead_letters import BrokerDeadLetters
from cqrs_ddd_messaging.memory.bus import (
    PLACE,
    InMemoryMessageBus,
    ParkedEnvelope,
    Queue,
    QueuedEnvelope,
)
from cqrs_ddd_messaging.memory.dead_letters import InMemoryDeadLetterShelf
from cqrs_ddd_messaging.notes import dead_letter_notes
from cqrs_ddd_messaging.serializer import EnvelopeSerializer


class InMemoryConsumer:
    """Consumes one queue of an ``InMemoryMessageBus`` (see ``IMessageConsumer``)."""

    def __init__(
        self, bus: InMemoryMessageBus, queue: str, *, serializer: EnvelopeSerializer | None = None
    ) -> None:
        self._bus, self.name = bus, queue
        self._serializer = serializer or EnvelopeSerializer()

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator["InMemorySubscription"]:
        """Consume; receive nothing while somebody else does."""
        queue, down = self._bus.queue(self.name), self._bus.went_down
        subscription = InMemorySubscription(queue, down, self._serializer)
        try:
            yield subscription
        finally:
            subscription.end()

    def dead_letters(self) -> BrokerDeadLetters:
        """Return what looks after the letters beside the queue."""
        return BrokerDeadLetters(InMemoryDeadLetterShelf(self._bus, self.name))


class InMemorySubscription:
    """A connection to one queue in memory (see ``ISubscription``)."""

    def __init__(self, queue: Queue, down: asyncio.Event, serializer: EnvelopeSerializer) -> None:
        self._queue, self._down, self._serializer = queue, down, serializer
        self._held: dict[int, QueuedEnvelope] = {}
        self._is_active = False

    async def receive(self, limit: int) -> Sequence[Delivery]:
        """Wait for messages and return some."""
        if not self._is_active:
            self._is_active = await self._queue.active.acquire()
        while True:
            self._check()
            if self._queue.ready:
                break
            self._queue.changed.clear()
            await _first_of(self._queue.changed, self._down)
        count = min(limit, len(self._queue.ready))
        return [self._delivery(self._queue.ready.popleft()) for _ in range(count)]

    async def read(self, delivery: Delivery) -> OutboxMessage:
        """Take the message out of its envelope."""
        return await self._serializer.unwrap(delivery.headers, delivery.body)

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Forget the messages."""
        self._check()
        for delivery in deliveries:
            self._held.pop(id(delivery.token), None)

    async def retry_later(self, delivery: Delivery, delay: float) -> bool:
        """Put the message back into its queue after a while."""
        entry: QueuedEnvelope = delivery.token
        again = QueuedEnvelope(entry.envelope, delivery.attempt + 1)
        asyncio.get_running_loop().call_later(delay, self._queue.put, [again])
        await self.acknowledge([delivery])
        return True

    async def dead_letter(self, delivery: Delivery, error: Exception) -> None:
        """Keep the message, with the error, beside the queue."""
        self._check()
        entry: QueuedEnvelope = delivery.token
        notes = dead_letter_notes(error, topic=self._queue.name, attempt=delivery.attempt)
        parked = ParkedEnvelope(entry.envelope, error, delivery.attempt, notes)
        self._queue.dead_letters.append(parked)
        await self.acknowledge([delivery])

    def end(self) -> None:
        """Put what was never settled back in front, in its order."""
        for entry in self._held.values():
            entry.redeliveries += 1
        self._queue.put(list(self._held.values()), in_front=True)
        self._held.clear()
        if self._is_active:
            self._queue.active.release()

    def _delivery(self, entry: QueuedEnvelope) -> Delivery:
        self._held[id(entry)] = entry
        attributes = entry.envelope.attributes
        return Delivery(
            message_id=attributes.get("id", ""),
            key=attributes.get("partitionkey", ""),
            headers=attributes,
            body=entry.envelope.data,
            topic=self._queue.name,
            attempt=entry.attempt,
            redeliveries=entry.redeliveries,
            token=entry,
        )

    def _check(self) -> None:
        if self._down.is_set():
            raise BrokerUnavailableError(PLACE, "it went down")


async def _first_of(*events: asyncio.Event) -> None:
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
