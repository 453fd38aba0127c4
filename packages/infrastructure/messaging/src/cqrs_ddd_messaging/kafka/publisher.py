"""Publishes to Kafka: stored by all replicas in sync, once, keyed by the partition key."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cqrs_ddd_core import OutboxMessage
from cqrs_ddd_messaging.closing import ClosedAtTheEnd
from cqrs_ddd_messaging.errors import MessageNotPublishedError, UnroutableMessageError
from cqrs_ddd_messaging.kafka.client import KafkaConfig, KafkaError, record_headers
from cqrs_ddd_messaging.publishing import publish_in_waves
from cqrs_ddd_messaging.serializer import EnvelopeSerializer


class KafkaPublisher(ClosedAtTheEnd):
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
        publish_wave = partial(self._publish_wave, await self._opened())
        return await publish_in_waves(messages, publish_wave)

    async def close(self) -> None:
        """Close the producer, once it has sent what it was given."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

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

    async def _publish_wave(
        self, producer: Any, messages: Sequence[OutboxMessage]
    ) -> list[Exception | None]:
        """Hand messages to the producer, which batches them, and wait for all confirmations."""
        outcomes: list[Exception | None] = [None] * len(messages)
        sent: dict[asyncio.Future[Any], int] = {}
        for index, message in enumerate(messages):
            try:
                sent[await self._send(producer, message)] = index
            except Exception as error:  # noqa: BLE001 - the outcome of this one message
                outcomes[index] = self._failure(message, error)
        if sent:
            # What is late is sent all the same: an idempotent producer never gives up.
            done, late = await asyncio.wait(sent, timeout=self._confirm_timeout)
            for future in late:
                problem = f"no confirmation within {self._confirm_timeout:g} s"
                outcomes[sent[future]] = self._config.unavailable(problem)
            for future in done:
                error = future.exception()
                if error is not None:
                    outcomes[sent[future]] = self._failure(messages[sent[future]], error)
        return outcomes

    async def _send(self, producer: Any, message: OutboxMessage) -> asyncio.Future[Any]:
        envelope = await self._serializer.wrap(message)
        topic = self._topic if isinstance(self._topic, str) else self._topic(message)
        if topic not in self._known_topics:
            await self._look_up(producer, topic, message)
        key = message.partition_key.encode() or None
        headers = record_headers(envelope)
        return await producer.send(topic, envelope.data, key=key, headers=headers)

    def _failure(self, message: OutboxMessage, error: BaseException) -> Exception:
        if isinstance(error, KafkaError | OSError) or not isinstance(error, Exception):
            return MessageNotPublishedError(message.message_id, repr(error))
        return error

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
