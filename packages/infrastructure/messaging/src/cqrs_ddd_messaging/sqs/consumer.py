"""Consumes a queue of SQS, and keeps what it holds hidden from others."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cqrs_ddd_core import Delivery, OutboxMessage
from cqrs_ddd_messaging.dead_letters import BrokerDeadLetters
from cqrs_ddd_messaging.notes import ATTEMPT, attempt_in, dead_letter_notes
from cqrs_ddd_messaging.serializer import EnvelopeSerializer
from cqrs_ddd_messaging.sqs.client import BATCH, BotoCoreError, ClientError, SQSConfig
from cqrs_ddd_messaging.sqs.dead_letters import GROUP, SQSDeadLetterShelf
from cqrs_ddd_messaging.sqs.messages import attributes_with, envelope_in, notes_in, settle
from cqrs_ddd_messaging.sqs.queue import SQSQueue, fifo_fields

_log = logging.getLogger(__name__)
_LONGEST_DELAY = 900  # seconds; what SQS can delay a message
_LONGEST_LOOK = 1  # seconds that a scan of the dead letters waits for more


class SQSConsumer:
    """Consumes a queue (see ``IMessageConsumer``).

    Args:
        config: where SQS is.
        queue: what to consume, or its name; it and the queue of its dead letters are created where
            they are missing.
        wait: seconds that a request waits for messages; stopping takes up to as long.
        serializer: takes messages out of their envelopes.
    """

    def __init__(
        self,
        config: SQSConfig,
        queue: SQSQueue | str,
        *,
        wait: int = 5,
        serializer: EnvelopeSerializer | None = None,
    ) -> None:
        self._config, self._wait = config, wait
        self._queue = SQSQueue(name=queue) if isinstance(queue, str) else queue
        self._serializer = serializer or EnvelopeSerializer()

    @property
    def name(self) -> str:
        """The queue, and where it is."""
        return f"{self._queue.name} at {self._config.place}"

    def dead_letters(self) -> BrokerDeadLetters:
        """Return what looks after the queue of the dead letters."""
        wait = min(self._wait, _LONGEST_LOOK)
        return BrokerDeadLetters(SQSDeadLetterShelf(self._config, self._queue, wait=wait))

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator["SQSSubscription"]:
        """Create the queues where they are missing, and consume."""
        async with self._config.client() as client:
            try:
                urls = await self._queue.declare(client)
            except (ClientError, BotoCoreError, OSError) as error:
                raise self._config.unavailable(error) from error
            subscription = SQSSubscription(
                client, self._queue, urls, self._serializer, self._config, wait=self._wait
            )
            heartbeat = asyncio.create_task(subscription.keep_hidden())
            try:
                yield subscription
            finally:
                heartbeat.cancel()
                await asyncio.gather(heartbeat, return_exceptions=True)
                await subscription.end()


class SQSSubscription:
    """What is received from one queue and held (see ``ISubscription``)."""

    def __init__(
        self,
        client: Any,
        queue: SQSQueue,
        urls: tuple[str, str],
        serializer: EnvelopeSerializer,
        config: SQSConfig,
        *,
        wait: int,
    ) -> None:
        self._client, self._queue, (self._url, self._dead_url) = client, queue, urls
        self._serializer, self._config, self._wait = serializer, config, wait
        self._held: dict[str, Delivery] = {}
        self._arrived: deque[Delivery] = deque()
        self._poll: asyncio.Task[None] | None = None

    async def receive(self, limit: int) -> Sequence[Delivery]:
        """Wait for messages and return some."""
        while not self._arrived:
            if self._poll is None:
                self._poll = asyncio.create_task(self._receive(min(limit, BATCH)))
            try:
                # Cancelled half-way, the request would hide messages that nobody ever saw.
                await asyncio.shield(self._poll)
            except (ClientError, BotoCoreError, OSError) as error:
                raise self._config.unavailable(error) from error
            self._poll = None
        count = min(limit, len(self._arrived))
        return [self._arrived.popleft() for _ in range(count)]

    async def read(self, delivery: Delivery) -> OutboxMessage:
        """Take the message out of its envelope."""
        return await self._serializer.unwrap(delivery.headers, delivery.body)

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Delete the messages, looking at the outcome of every entry."""
        handles = [delivery.token["ReceiptHandle"] for delivery in deliveries]
        for handle in handles:
            self._held.pop(handle, None)
        try:
            failed = await settle(self._client.delete_message_batch, self._url, handles)
        except (ClientError, BotoCoreError, OSError) as error:
            raise self._config.unavailable(error) from error
        for handle, problem in failed.items():
            _log.warning("A handled message was not deleted, and comes again: %s", problem)
            self._held.pop(handle, None)

    async def retry_later(self, delivery: Delivery, delay: float) -> bool:
        """Send the message once more, delayed, to a standard queue; FIFO queues have no delays."""
        if self._queue.is_fifo:
            return False
        seconds = min(math.ceil(delay), _LONGEST_DELAY)
        notes = {ATTEMPT: str(delivery.attempt + 1)}
        await self._move(self._url, delivery, notes, DelaySeconds=seconds)
        return True

    async def dead_letter(self, delivery: Delivery, error: Exception) -> None:
        """Send the message, as it came, to the queue of the dead letters."""
        notes = dead_letter_notes(error, topic=self._queue.name, attempt=delivery.attempt)
        if not self._queue.is_fifo:
            await self._move(self._dead_url, delivery, notes)
            return
        # A group of its own: SQS shows nothing of a group while something of it is held.
        if "partitionkey" not in delivery.headers and delivery.key:
            notes[GROUP] = delivery.key
        await self._move(
            self._dead_url, delivery, notes, **fifo_fields(delivery.token["MessageId"])
        )

    async def keep_hidden(self) -> None:
        """Extend again and again the time for which others do not see what is held."""
        while True:
            await asyncio.sleep(self._queue.visibility / 3)
            try:
                failed = await self._hide(list(self._held), self._queue.visibility)
            except (ClientError, BotoCoreError, OSError) as error:
                _log.warning("What is held could not be kept hidden: %r", error)
                continue
            for handle, problem in failed.items():
                _log.warning("A message was held too long, and is delivered again: %s", problem)
                if (delivery := self._held.pop(handle, None)) is not None:
                    delivery.lost = True

    async def end(self) -> None:
        """Let others see at once what was never settled."""
        if self._poll is not None:
            await asyncio.gather(self._poll, return_exceptions=True)
        try:
            await self._hide(list(self._held), 0)
        except (ClientError, BotoCoreError, OSError) as error:
            _log.warning("What was held comes again only after a while: %r", error)

    async def _receive(self, count: int) -> None:
        answer = await self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=count,
            WaitTimeSeconds=self._wait,
            VisibilityTimeout=self._queue.visibility,
            MessageAttributeNames=["All"],
            AttributeNames=["All"],
        )
        for message in answer.get("Messages", []):
            delivery = self._delivery(message)
            self._held[message["ReceiptHandle"]] = delivery
            self._arrived.append(delivery)

    def _delivery(self, message: Mapping[str, Any]) -> Delivery:
        envelope = envelope_in(message)
        return Delivery(
            message_id=envelope.attributes.get("id", ""),
            key=envelope.attributes.get("partitionkey", "") or self._group(message),
            headers=envelope.attributes,
            body=envelope.data,
            topic=self._queue.name,
            attempt=attempt_in(notes_in(message).get(ATTEMPT)),
            redeliveries=int(message["Attributes"].get("ApproximateReceiveCount", 1)) - 1,
            token=message,
        )

    def _group(self, message: Mapping[str, Any]) -> str:
        """Return the group of a message in a FIFO queue, which others may have sent."""
        return message["Attributes"].get("MessageGroupId", "") if self._queue.is_fifo else ""

    async def _move(
        self, url: str, delivery: Delivery, notes: Mapping[str, str], **options: Any
    ) -> None:
        """Send the body as it came, with notes, to a queue; then acknowledge it."""
        try:
            await self._client.send_message(
                QueueUrl=url,
                MessageBody=delivery.token["Body"],
                MessageAttributes=attributes_with(delivery.token, notes),
                **options,
            )
        except (ClientError, BotoCoreError, OSError) as error:
            raise self._config.unavailable(error) from error
        await self.acknowledge([delivery])

    async def _hide(self, handles: Sequence[str], seconds: int) -> dict[str, str]:
        request = self._client.change_message_visibility_batch
        return await settle(request, self._url, handles, VisibilityTimeout=seconds)
