"""Publishes to SQS in batches, and looks at the outcome of every entry."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from cqrs_ddd_core import OutboxMessage
from cqrs_ddd_messaging.closing import ClosedAtTheEnd
from cqrs_ddd_messaging.errors import MessageNotPublishedError, UnroutableMessageError
from cqrs_ddd_messaging.publishing import publish_in_waves
from cqrs_ddd_messaging.serializer import EnvelopeSerializer
from cqrs_ddd_messaging.sqs.client import (
    BotoCoreError,
    ClientError,
    SQSConfig,
    chunks,
    is_missing_queue,
)
from cqrs_ddd_messaging.sqs.queue import fifo_fields

_AT_ONCE = 8  # requests


class SQSPublisher(ClosedAtTheEnd):
    """Publishes to queues (see ``IMessagePublisher``), whole envelopes as JSON.

    Args:
        config: where SQS is.
        queue: the name of the queue, or what returns it for a message.
        serializer: puts messages into their envelopes. SQS bounds a message to 256 KiB: give it a
            claim check where payloads may be larger.
    """

    def __init__(
        self,
        config: SQSConfig,
        queue: str | Callable[[OutboxMessage], str],
        *,
        serializer: EnvelopeSerializer | None = None,
    ) -> None:
        self._config, self._serializer = config, serializer or EnvelopeSerializer()
        self._queue = queue
        self._stack, self._client, self._opening = AsyncExitStack(), None, asyncio.Lock()
        self._urls: dict[str, str] = {}
        self._requests = asyncio.Semaphore(_AT_ONCE)

    async def publish(self, messages: Sequence[OutboxMessage]) -> Sequence[Exception | None]:
        """Publish ``messages``; those of one key never share a batch, for its entries may fail.

        Raises:
            BrokerUnavailableError: SQS is out of reach.
        """
        publish_wave = partial(self._publish_wave, await self._opened())
        return await publish_in_waves(messages, publish_wave)

    async def close(self) -> None:
        """Close the client."""
        await self._stack.aclose()
        self._client = None

    def _queue_of(self, message: OutboxMessage) -> str:
        return self._queue if isinstance(self._queue, str) else self._queue(message)

    async def _opened(self) -> Any:
        async with self._opening:
            if self._client is None:
                self._client = await self._stack.enter_async_context(self._config.client())
            return self._client

    async def _publish_wave(
        self, client: Any, messages: Sequence[OutboxMessage]
    ) -> list[Exception | None]:
        outcomes: list[Exception | None] = [None] * len(messages)
        by_queue: dict[str, list[int]] = {}
        for index, message in enumerate(messages):
            by_queue.setdefault(self._queue_of(message), []).append(index)
        async with asyncio.TaskGroup() as group:
            for queue, indexes in by_queue.items():
                for chunk in chunks(indexes):
                    group.create_task(self._send(client, queue, messages, chunk, outcomes))
        return outcomes

    async def _send(
        self,
        client: Any,
        queue: str,
        messages: Sequence[OutboxMessage],
        indexes: Sequence[int],
        outcomes: list[Exception | None],
    ) -> None:
        """Send one batch and note what became of each entry."""
        try:
            entries = [await self._entry(str(index), queue, messages[index]) for index in indexes]
            async with self._requests:
                url = await self._url(client, queue)
                answer = await client.send_message_batch(QueueUrl=url, Entries=entries)
        except Exception as error:  # noqa: BLE001 - the outcome of these messages
            for index in indexes:
                outcomes[index] = self._failure(messages[index], queue, error)
            return
        confirmed = {entry["Id"] for entry in answer.get("Successful", [])}
        failed = {entry["Id"]: entry for entry in answer.get("Failed", [])}
        for index in indexes:
            if str(index) not in confirmed:
                entry = failed.get(str(index), {})
                problem = f"{entry.get('Code', 'no answer')} {entry.get('Message', '')}".strip()
                outcomes[index] = MessageNotPublishedError(messages[index].message_id, problem)

    async def _entry(self, entry_id: str, queue: str, message: OutboxMessage) -> dict[str, Any]:
        envelope = await self._serializer.wrap(message)
        entry = {"Id": entry_id, "MessageBody": envelope.to_json()}
        if queue.endswith(".fifo"):
            entry.update(fifo_fields(message.message_id, message.partition_key))
        return entry

    async def _url(self, client: Any, queue: str) -> str:
        if queue not in self._urls:
            self._urls[queue] = (await client.get_queue_url(QueueName=queue))["QueueUrl"]
        return self._urls[queue]

    def _failure(self, message: OutboxMessage, queue: str, error: Exception) -> Exception:
        if is_missing_queue(error):
            self._urls.pop(queue, None)
            return UnroutableMessageError(message.message_id, f"the queue {queue!r}")
        if isinstance(error, ClientError):
            return MessageNotPublishedError(message.message_id, error)
        if isinstance(error, BotoCoreError | OSError):
            return self._config.unavailable(error)
        return error
