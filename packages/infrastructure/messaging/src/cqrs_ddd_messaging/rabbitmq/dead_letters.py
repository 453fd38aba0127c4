"""What the consumers of a queue of RabbitMQ have parked."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage

from cqrs_ddd_core import BrokerUnavailableError
from cqrs_ddd_messaging.dead_letters import StoredLetter
from cqrs_ddd_messaging.notes import NOTES, dead_letter_of
from cqrs_ddd_messaging.rabbitmq.connection import ConnectionLost, RabbitMQConnectionManager
from cqrs_ddd_messaging.rabbitmq.messages import attributes_in, copy_of, headers_of
from cqrs_ddd_messaging.rabbitmq.topology import RabbitMQQueue

_BATCH = 100
_CONFIRM_TIMEOUT = 30.0  # seconds
_DEATHS = ("x-death", "x-first-death-", "x-last-death-")  # what RabbitMQ notes by itself


class RabbitMQDeadLetterShelf:
    """The queue of the dead letters (see ``IDeadLetterShelf``)."""

    def __init__(self, connection: RabbitMQConnectionManager, queue: RabbitMQQueue) -> None:
        self._connection, self._queue = connection, queue

    async def count(self) -> int:
        """Count those that nobody looks at right now."""
        async with self.open() as scan:
            return await scan.count()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["RabbitMQDeadLetterScan"]:
        """Begin a scan; the end of its connection has RabbitMQ put back what it holds."""
        async with self._connection.another() as connection:
            channel = await connection.open_channel()
            try:
                await self._queue.declare(channel)
                yield RabbitMQDeadLetterScan(channel, self._queue)
                with suppress(*ConnectionLost):
                    await channel.close()
            except ConnectionLost as error:
                raise BrokerUnavailableError(connection.place, error) from error


class RabbitMQDeadLetterScan:
    """A walk through the queue, which holds what it has shown (see ``IDeadLetterScan``)."""

    def __init__(self, channel: AbstractChannel, queue: RabbitMQQueue) -> None:
        self._channel, self._queue = channel, queue

    async def count(self) -> int:
        """Return how many are ready to be shown."""
        dead = await self._channel.declare_queue(self._queue.dead, passive=True)
        return dead.declaration_result.message_count or 0

    async def batches(self) -> AsyncGenerator[Sequence[StoredLetter]]:
        """Get so many as there were at the beginning, and settle none."""
        underlay = await self._channel.get_underlay_channel()
        left, batch = await self.count(), list[StoredLetter]()
        while left > 0:
            message = await underlay.basic_get(self._queue.dead)
            if message.delivery_tag is None:  # somebody else looks at the rest
                break
            left -= 1
            batch.append(self._stored(message))
            if len(batch) == _BATCH:
                yield batch
                batch = []
        yield batch

    async def send_back(self, stored: StoredLetter) -> None:
        """Have the queue itself confirm the message: others that its exchange leads to had it."""
        message: DeliveredMessage = stored.token
        headers = {
            name: value
            for name, value in headers_of(message).items()
            if name not in NOTES and not name.startswith(_DEATHS)
        }
        await self._channel.default_exchange.publish(
            copy_of(message, headers), self._queue.name, timeout=_CONFIRM_TIMEOUT
        )

    async def remove(self, stored: Sequence[StoredLetter]) -> None:
        """Acknowledge the letters."""
        underlay = await self._channel.get_underlay_channel()
        for each in stored:
            await underlay.basic_ack(each.token.delivery_tag, wait=False)

    def _stored(self, message: DeliveredMessage) -> StoredLetter:
        headers = headers_of(message)
        letter = dead_letter_of(
            attributes_in(message),
            bytes(message.body),
            {name: str(headers[name]) for name in NOTES if name in headers},
            topic=self._queue.name,
            parked_by_broker=_reason(headers),
        )
        return StoredLetter(letter, message)


def _reason(headers: Mapping[str, Any]) -> str:
    """Return why RabbitMQ parked a message by itself, such as ``delivery_limit``."""
    reason = headers.get("x-first-death-reason", "unknown reason")
    return f"RabbitMQ parked it: {reason}"
