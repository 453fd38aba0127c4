"""Publishes to Kafka: stored by all replicas in sync, once, keyed by the partition key."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from cqrs_ddd_core import OutboxMessage
from cqrs_ddd_messaging.errors import MessageNotPublishedError, UnroutableMessageError
from cqrs_ddd_messaging.kafka.client import KafkaConfig, KafkaError, record_headers
from cqrs_ddd_messaging.publishing import publish_by_key
from cqrs_ddd_messaging.serializer import EnvelopeSerializer


class KafkaPublisher:
    """Publishes to topics (see ``IMessagePublisher``).

    A message counts as published when all replicas in sync have stored it.

    Args:
        config: where Kafka is.
        topic: the topic, or what returns it for a message.
        serializer: puts messages into their envelopes.
        confirm_timeout: seconds to wait for the confirmation of a message.
        topic_timeout: seconds to wait for a topic that is not known yet.
    """

    def __init__(
        self,
        config: KafkaConfig,
        topic: str | Callable[[OutboxMessage], str] = "events",
        *,
        serializer: EnvelopeSerializer | None = None,
        confirm_timeout: float = 30.0,
        topic_timeout: float = 10.0,
    ) -> None:
        self._config, self._serializer = config, serializer or EnvelopeSerializer()
        self._topic = topic
        self._confirm_timeout, self._topic_timeout = confirm_timeout, topic_timeout
        self._producer: Any = None
        self._opening = asyncio.Lock()
        self._known_topics: set[str] = set()

    async def publish(self, messages: Sequence[OutboxMessage]) -> Sequence[Exception | None]:
        """Publish ``messages``, keys side by side, and return the outcome of each.

        Raises:
            BrokerUnavailableError: Kafka is out of reach.
        """
        producer = await self._opened()

        async def send(message: OutboxMessage) -> None:
            await self._send(producer, message)

        return await publish_by_key(messages, send)

    async def close(self) -> None:
        """Close the producer, once it has sent what it was given."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _opened(self) -> Any:
        async with self._opening:
            if self._producer is None:
                producer = self._config.producer()
                try:
                    await producer.start()
                except (KafkaError, OSError) as error:
                    await producer.stop()
                    raise self._config.unavailable(error) from error
                self._producer = producer
            return self._producer

    async def _send(self, producer: Any, message: OutboxMessage) -> None:
        envelope = await self._serializer.wrap(message)
        topic = self._topic if isinstance(self._topic, str) else self._topic(message)
        key = message.partition_key.encode() or None
        try:
            if topic not in self._known_topics:
                await self._look_up(producer, topic, message)
            sent = await producer.send(
                topic, envelope.data, key=key, headers=record_headers(envelope)
            )
            async with asyncio.timeout(self._confirm_timeout):
                # Cancelled, it would be sent all the same; an idempotent producer never gives up.
                await asyncio.shield(sent)
        except TimeoutError as error:
            problem = f"no confirmation within {self._confirm_timeout:g} s"
            raise self._config.unavailable(problem) from error
        except (KafkaError, OSError) as error:
            raise MessageNotPublishedError(message.message_id, repr(error)) from error

    async def _look_up(self, producer: Any, topic: str, message: OutboxMessage) -> None:
        """Make sure that there is a topic, before a message waits for it.

        Raises:
            UnroutableMessageError: there is none.
            BrokerUnavailableError: nobody can say.
        """
        try:
            async with asyncio.timeout(self._topic_timeout):
                await producer.partitions_for(topic)
        except (TimeoutError, KafkaError) as error:
            if not await producer.client.force_metadata_update():
                raise self._config.unavailable("its topics cannot be asked for") from error
            destination = f"the topic {topic!r}"
            raise UnroutableMessageError(message.message_id, destination) from error
        self._known_topics.add(topic)
