"""Publishes to RabbitMQ: confirmed, mandatory, persistent."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import (
    DeliveryError,
    PublishError,
)

from cqrs_ddd_core import BrokerUnavailableError, OutboxMessage
from cqrs_ddd_messaging.closing import ClosedAtTheEnd
from cqrs_ddd_messaging.envelope import MessageEnvelope
from cqrs_ddd_messaging.errors import MessageNotPublishedError, UnroutableMessageError
from cqrs_ddd_messaging.publishing import publish_by_key
from cqrs_ddd_messaging.rabbitmq.connection import ConnectionLost, RabbitMQConnectionManager
from cqrs_ddd_messaging.rabbitmq.messages import PREFIX, amqp_message
from cqrs_ddd_messaging.serializer import EnvelopeSerializer


class RabbitMQPublisher(ClosedAtTheEnd):
    """Publishes to an exchange (see ``IMessagePublisher``).

    A message counts as published when the broker has confirmed it, which it does once a quorum of
    nodes has stored it. One that reaches no queue is unroutable.

    Args:
        connection: to the broker; closed with the publisher when it was given as a URL.
        exchange: declared as a durable topic exchange.
        routing_key: of a message; the name of its type by default.
        serializer: puts messages into their envelopes.
        confirm_timeout: seconds to wait for the confirmation of a message.
    """

    def __init__(
        self,
        connection: RabbitMQConnectionManager | str,
        exchange: str = "events",
        *,
        routing_key: Callable[[OutboxMessage], str] = lambda message: message.event_type,
        serializer: EnvelopeSerializer | None = None,
        confirm_timeout: float = 30.0,
    ) -> None:
        self._owns_connection = isinstance(connection, str)
        self._connection = (
            RabbitMQConnectionManager(connection) if isinstance(connection, str) else connection
        )
        self._exchange_name, self._routing_key = exchange, routing_key
        self._serializer = serializer or EnvelopeSerializer()
        self._confirm_timeout = confirm_timeout
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None
        self._opening = asyncio.Lock()

    async def publish(self, messages: Sequence[OutboxMessage]) -> Sequence[Exception | None]:
        """Publish ``messages``, keys side by side, and return the outcome of each.

        Raises:
            BrokerUnavailableError: the broker is away.
        """
        send = partial(self._send, await self._open_exchange())
        return await publish_by_key(messages, send)

    async def close(self) -> None:
        """Close the channel, and the connection where nobody else uses it."""
        channel, self._channel = self._channel, None
        if channel is not None and not channel.is_closed:
            await channel.close()
        if self._owns_connection:
            await self._connection.close()

    async def _open_exchange(self) -> AbstractExchange:
        async with self._opening:
            if self._exchange is None or self._channel is None or self._channel.is_closed:
                self._channel = await self._connection.open_channel()
                try:
                    self._exchange = await self._channel.declare_exchange(
                        self._exchange_name, "topic", durable=True
                    )
                except ConnectionLost as error:
                    raise BrokerUnavailableError(self._connection.place, error) from error
            return self._exchange

    async def _send(self, exchange: AbstractExchange, message: OutboxMessage) -> None:
        envelope = await self._serializer.wrap(message)
        routing_key = self._routing_key(message)
        try:
            await exchange.publish(
                _amqp(message, envelope), routing_key, timeout=self._confirm_timeout
            )
        except TimeoutError as error:
            problem = f"no confirmation within {self._confirm_timeout:g} s"
            raise MessageNotPublishedError(message.message_id, problem) from error
        except PublishError as error:
            destination = f"{self._exchange_name!r} with routing key {routing_key!r}"
            raise UnroutableMessageError(message.message_id, destination) from error
        except DeliveryError as error:
            raise MessageNotPublishedError(message.message_id, "the broker refused it") from error
        except ConnectionLost as error:
            raise BrokerUnavailableError(self._connection.place, error) from error


def _amqp(message: OutboxMessage, envelope: MessageEnvelope) -> Message:
    return amqp_message(
        envelope.data,
        envelope.headers(PREFIX),
        message_id=message.message_id,
        content_type=message.content_type,
        type=message.event_type,
        correlation_id=message.correlation_id,
    )
