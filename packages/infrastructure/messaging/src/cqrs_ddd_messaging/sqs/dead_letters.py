"""What the consumers of a queue of SQS have parked."""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from cqrs_ddd_messaging.dead_letters import MOST, StoredLetter, in_order
from cqrs_ddd_messaging.notes import NOTES, dead_letter_of
from cqrs_ddd_messaging.sqs.client import BATCH, BotoCoreError, ClientError, SQSConfig
from cqrs_ddd_messaging.sqs.messages import attributes_with, envelope_in, notes_in, settle
from cqrs_ddd_messaging.sqs.queue import SQSQueue, fifo_fields

GROUP = "cqrs-group"
_VISIBILITY = 600  # seconds that others do not see what a scan has shown
_COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
_log = logging.getLogger(__name__)


class SQSDeadLetterShelf:
    """The queue of the dead letters (see ``IDeadLetterShelf``).

    What a scan shows is hidden from others until it ends; ten minutes when its process is killed.
    """

    def __init__(self, config: SQSConfig, queue: SQSQueue, *, wait: int) -> None:
        self._config, self._queue, self._wait = config, queue, wait

    async def count(self) -> int:
        """Count them, those that are hidden too."""
        async with self.open() as scan:
            return await scan.count()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["SQSDeadLetterScan"]:
        """Begin a scan."""
        async with self._config.client() as client:
            try:
                urls = await self._queue.declare(client)
                scan = SQSDeadLetterScan(client, self._queue, urls, wait=self._wait)
                try:
                    yield scan
                finally:
                    await scan.end()
            except (ClientError, BotoCoreError, OSError) as error:
                raise self._config.unavailable(error) from error


class SQSDeadLetterScan:
    """A walk through the queue, which hides what it has shown (see ``IDeadLetterScan``)."""

    def __init__(self, client: Any, queue: SQSQueue, urls: tuple[str, str], *, wait: int) -> None:
        self._client, self._queue, (self._url, self._dead_url) = client, queue, urls
        self._wait = wait
        self._held: dict[str, None] = {}

    async def count(self) -> int:
        """Return how many there are."""
        answer = await self._client.get_queue_attributes(
            QueueUrl=self._dead_url, AttributeNames=_COUNTS
        )
        return sum(int(answer["Attributes"][name]) for name in _COUNTS)

    async def batches(self) -> AsyncGenerator[Sequence[StoredLetter]]:
        """Receive until nothing more is visible; yield all at once."""
        found = list[StoredLetter]()
        while len(found) < MOST and (messages := await self._receive()):
            self._held.update((message["ReceiptHandle"], None) for message in messages)
            found += map(self._stored, messages)
        yield in_order(found)

    async def send_back(self, stored: StoredLetter) -> None:
        """Send the message as it came to the queue."""
        message: Mapping[str, Any] = stored.token
        fifo = (
            # SQS would take the message's first id for a repetition, and drop it.
            fifo_fields(message["MessageId"], stored.letter.partition_key)
            if self._queue.is_fifo
            else {}
        )
        await self._client.send_message(
            QueueUrl=self._url,
            MessageBody=message["Body"],
            MessageAttributes=attributes_with(message, {}),
            **fifo,
        )

    async def remove(self, stored: Sequence[StoredLetter]) -> None:
        """Delete the letters."""
        handles = [each.token["ReceiptHandle"] for each in stored]
        lost = await settle(self._client.delete_message_batch, self._dead_url, handles)
        for problem in lost.values():
            _log.warning(
                "A dead letter was settled and not deleted; it is still there: %s", problem
            )
        for handle in handles:
            if handle not in lost:
                del self._held[handle]

    async def end(self) -> None:
        """Let others see at once what is still there."""
        show = self._client.change_message_visibility_batch
        with suppress(ClientError, BotoCoreError, OSError):  # else they see it after a while
            await settle(show, self._dead_url, list(self._held), VisibilityTimeout=0)

    async def _receive(self) -> Sequence[Mapping[str, Any]]:
        answer = await self._client.receive_message(
            QueueUrl=self._dead_url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=self._wait,
            VisibilityTimeout=_VISIBILITY,
            MessageAttributeNames=["All"],
            AttributeNames=["All"],
        )
        return answer.get("Messages", [])

    def _stored(self, message: Mapping[str, Any]) -> StoredLetter:
        envelope, notes = envelope_in(message), notes_in(message)
        by_sqs = not NOTES.intersection(notes)
        group = message["Attributes"].get("MessageGroupId", "") if by_sqs else notes.get(GROUP, "")
        letter = dead_letter_of(
            envelope.attributes,
            envelope.data,
            notes,
            topic=self._queue.name,
            key="" if group == envelope.attributes.get("id") else group,
            parked_by_broker="SQS parked it: it was received too often and never settled",
        )
        return StoredLetter(letter, message)
