"""Consumes a queue of RabbitMQ."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from aio_pika.abc import AbstractChannel
from aiormq.abc import AbstractChannel as AiormqChannel
from aiormq.abc import DeliveredMessage

from cqrs_ddd_core import BrokerUnavailableError, Delivery, OutboxMessage
from cqrs_ddd_messaging.dead_letters import BrokerDeadLetters
from cqrs_ddd_messaging.envelope import STRUCTURED, from_json
from cqrs_ddd_messaging.notes import ATTEMPT, attempt_in, dead_letter_notes
from cqrs_ddd_messaging.rabbitmq.connection import ConnectionLost, RabbitMQConnectionManager
from cqrs_ddd_messaging.rabbitmq.dead_letters import RabbitMQDeadLetterShelf
from cqrs_ddd_messaging.rabbitmq.messages import attributes_in, copy_of, headers_of
from cqrs_ddd_messaging.rabbitmq.topology import RabbitMQQueue
from cqrs_ddd_messaging.serializer import EnvelopeSerializer


class RabbitMQConsumer:
    """Consumes a queue, which it declares (see ``IMessageConsumer``).

    Args:
        connection: to the broker.
        queue: what to consume, or its name.
        prefetch: how many messages RabbitMQ sends ahead of being settled.
        serializer: takes messages out of their envelopes.
    """

    def __init__(
        self,
        connection: RabbitMQConnectionManager | str,
        queue: RabbitMQQueue | str,
        *,
        prefetch: int = 500,
        serializer: EnvelopeSerializer | None = None,
    ) -> None:
        self._owns_connection = isinstance(connection, str)
        self._connection = (
            RabbitMQConnectionManager(connection) if isinstance(connection, str) else connection
        )
        self._queue = RabbitMQQueue(name=queue) if isinstance(queue, str) else queue
        self._prefetch, self._serializer = prefetch, serializer or EnvelopeSerializer()

    @property
    def name(self) -> str:
        """The queue, and where it is."""
        return f"{self._queue.name} at {self._connection.place}"

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator["RabbitMQSubscription"]:
        """Declare the queue and consume it over a channel of its own."""
        channel = await self._connection.open_channel()
        try:
            try:
                subscription = await self._subscribe(channel)
            except ConnectionLost as error:
                raise BrokerUnavailableError(self._connection.place, error) from error
            yield subscription
        finally:
            with suppress(*ConnectionLost):
                await channel.close()  # what is not settled goes back into the queue, in order
            if self._owns_connection:
                with suppress(*ConnectionLost):
                    await self._connection.close()

    def dead_letters(self) -> BrokerDeadLetters:
        """Return what looks after the queue of the dead letters."""
        return BrokerDeadLetters(RabbitMQDeadLetterShelf(self._connection, self._queue))

    async def _subscribe(self, channel: AbstractChannel) -> "RabbitMQSubscription":
        await self._queue.declare(channel)
        await channel.set_qos(prefetch_count=self._prefetch)
        underlay = await channel.get_underlay_channel()
        subscription = RabbitMQSubscription(
            channel, underlay, self._queue, self._serializer, self._connection.place
        )
        underlay.on_consumer_cancel_callbacks.add(subscription.cancelled_by_broker)
        await underlay.basic_consume(self._queue.name, subscription.arrived)
        return subscription


class RabbitMQSubscription:
    """A channel that consumes one queue (see ``ISubscription``)."""

    def __init__(
        self,
        channel: AbstractChannel,
        underlay: AiormqChannel,
        queue: RabbitMQQueue,
        serializer: EnvelopeSerializer,
        place: str,
    ) -> None:
        self._channel, self._underlay, self._queue = channel, underlay, queue
        self._serializer, self._place = serializer, place
        self._arrived: asyncio.Queue[DeliveredMessage | None] = asyncio.Queue()
        self._cancelled = False
        self._retry_queues: set[str] = set()
        channel.close_callbacks.add(self._closed)

    async def arrived(self, message: DeliveredMessage) -> None:
        """Take what the broker sends ahead: never more than the prefetch count."""
        self._arrived.put_nowait(message)

    def cancelled_by_broker(self, *_: Any) -> None:
        """Note that the broker will send nothing more, because the queue was deleted."""
        self._cancelled = True
        self._arrived.put_nowait(None)

    async def receive(self, limit: int) -> Sequence[Delivery]:
        """Wait for messages and return some."""
        deliveries: list[Delivery] = []
        while len(deliveries) < limit and not (deliveries and self._arrived.empty()):
            self._check()
            message = await self._arrived.get()
            if message is not None:
                deliveries.append(self._delivery(message))
        return deliveries

    async def read(self, delivery: Delivery) -> OutboxMessage:
        """Take the message out of its envelope."""
        return await self._serializer.unwrap(*_structured(delivery))

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge each message."""
        self._check()
        try:
            for delivery in deliveries:
                await self._underlay.basic_ack(delivery.token.delivery_tag, wait=False)
        except ConnectionLost as error:
            raise BrokerUnavailableError(self._place, error) from error

    async def retry_later(self, delivery: Delivery, delay: float) -> bool:
        """Move the message to a queue from which it comes back after at least ``delay``."""
        name, kept = self._queue.retry(delay)
        if name not in self._retry_queues:
            await self._queue.declare_retry(self._channel, name, kept)
            self._retry_queues.add(name)
        await self._move(delivery, name, {ATTEMPT: str(delivery.attempt + 1)})
        return True

    async def dead_letter(self, delivery: Delivery, error: Exception) -> None:
        """Move the message to the queue of the dead letters."""
        notes = dead_letter_notes(error, topic=self._queue.name, attempt=delivery.attempt)
        await self._move(delivery, self._queue.dead, notes)

    async def _move(self, delivery: Delivery, queue: str, notes: Mapping[str, str]) -> None:
        """Have another queue confirm the message as it came, then acknowledge it."""
        self._check()
        message = copy_of(delivery.token, {**headers_of(delivery.token), **notes})
        try:
            await self._channel.default_exchange.publish(message, queue)
        except ConnectionLost as error:
            raise BrokerUnavailableError(self._place, error) from error
        await self.acknowledge([delivery])

    def _delivery(self, message: DeliveredMessage) -> Delivery:
        headers, attributes = headers_of(message), attributes_in(message)
        return Delivery(
            message_id=attributes["id"],
            key=attributes.get("partitionkey", ""),
            headers=attributes,
            body=bytes(message.body),
            topic=self._queue.name,
            attempt=attempt_in(headers.get(ATTEMPT, 1)),
            redeliveries=_count(headers.get("x-delivery-count")),
            token=message,
        )

    def _closed(self, *_: Any) -> None:
        self._arrived.put_nowait(None)

    def _check(self) -> None:
        if self._cancelled:
            raise BrokerUnavailableError(self._place, f"the queue {self._queue.name} was deleted")
        if self._channel.is_closed:
            raise BrokerUnavailableError(self._place, "the connection was lost")


def _structured(delivery: Delivery) -> tuple[Mapping[str, str], bytes]:
    """Return attributes and data, also where the body holds both."""
    content_type = delivery.headers.get("datacontenttype", "")
    if content_type.startswith(STRUCTURED) and "specversion" not in delivery.headers:
        envelope = from_json(delivery.body)
        return envelope.attributes, envelope.data
    return delivery.headers, delivery.body


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
