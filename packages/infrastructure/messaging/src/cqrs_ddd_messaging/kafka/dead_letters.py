"""What the consumers of topics of Kafka have parked."""

from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cqrs_ddd_messaging.dead_letters import MOST, StoredLetter, in_order
from cqrs_ddd_messaging.kafka.client import KafkaConfig, KafkaError, aiokafka, attributes_in
from cqrs_ddd_messaging.notes import NOTES, dead_letter_of

DEAD = ".dead"
_POLL = 500  # milliseconds that a fetch waits


class KafkaDeadLetterShelf:
    """The topics of the dead letters (see ``IDeadLetterShelf``).

    A group of its own remembers how far they are settled. A topic has one for all groups that
    consume it, so what one of them redrives comes to the others as well; their inboxes know it.
    """

    def __init__(self, config: KafkaConfig, topics: Sequence[str]) -> None:
        self._config, self._topics = config, [f"{topic}{DEAD}" for topic in topics]

    async def count(self) -> int:
        """Count the offsets that are not settled."""
        async with self.open() as scan:
            return await scan.count()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["KafkaDeadLetterScan"]:
        """Begin a scan; it joins no group, so nothing is balanced anew."""
        consumer, producer = self._config.consumer(f"{self._topics[0]}-operations"), None
        try:
            await consumer.start()
            producer = self._config.producer()
            await producer.start()
            known = await consumer.topics()
            partitions = [
                aiokafka.TopicPartition(topic, number)
                for topic in self._topics
                if topic in known
                for number in await producer.partitions_for(topic)
            ]
            consumer.assign(partitions)
            yield KafkaDeadLetterScan(consumer, producer, partitions)
        except (KafkaError, OSError) as error:
            raise self._config.unavailable(repr(error)) from error
        finally:
            await consumer.stop()
            if producer is not None:
                await producer.stop()


class KafkaDeadLetterScan:
    """A walk through the topics, from what is settled to their ends (see ``IDeadLetterScan``).

    A topic has no holes: letters that stay are appended again before the offset moves past them.
    """

    def __init__(self, consumer: Any, producer: Any, partitions: Sequence[Any]) -> None:
        self._consumer, self._producer, self._partitions = consumer, producer, partitions
        self._kept: dict[Any, deque[Any]] = {partition: deque() for partition in partitions}

    async def count(self) -> int:
        """Return how many offsets are not settled."""
        ends = await self._consumer.end_offsets(self._partitions)
        return sum([end - await self._consumer.position(each) for each, end in ends.items()])

    async def batches(self) -> AsyncGenerator[Sequence[StoredLetter]]:
        """Fetch until the offsets that were the ends at the beginning; yield all at once."""
        ends = await self._consumer.end_offsets(self._partitions)
        found = list[StoredLetter]()
        while len(found) < MOST and (left := await self._unread(ends)):
            fetched = await self._consumer.getmany(*left, timeout_ms=_POLL)
            for partition, records in fetched.items():
                older = [record for record in records if record.offset < ends[partition]]
                self._kept[partition].extend(older)
                found += [_stored(partition, record) for record in older]
        yield in_order(found)

    async def send_back(self, stored: StoredLetter) -> None:
        """Publish the record as it came to the topic it came from."""
        _, record = stored.token
        headers = [(name, value) for name, value in record.headers if name not in NOTES]
        await self._producer.send_and_wait(
            stored.letter.topic, record.value, key=record.key, headers=headers
        )

    async def remove(self, stored: Sequence[StoredLetter]) -> None:
        """Commit behind the letters, after those before them that stay were appended again."""
        settled: dict[Any, set[int]] = {}
        for each in stored:
            partition, record = each.token
            settled.setdefault(partition, set()).add(record.offset)
        for partition, offsets in settled.items():
            kept, last = self._kept[partition], max(offsets)
            while kept and kept[0].offset <= last:
                if kept[0].offset not in offsets:
                    await self._append_again(kept[0])
                kept.popleft()
            await self._consumer.commit({partition: last + 1})

    async def _unread(self, ends: Mapping[Any, int]) -> list[Any]:
        return [each for each, end in ends.items() if await self._consumer.position(each) < end]

    async def _append_again(self, record: Any) -> None:
        await self._producer.send_and_wait(
            record.topic,
            record.value,
            key=record.key,
            headers=[*record.headers],
            partition=record.partition,
        )


def _stored(partition: Any, record: Any) -> StoredLetter:
    notes = {name: value.decode(errors="replace") for name, value in record.headers}
    letter = dead_letter_of(
        attributes_in(record),
        record.value or b"",
        notes,
        topic=record.topic.removesuffix(DEAD),
        key=(record.key or b"").decode(errors="replace"),
    )
    return StoredLetter(letter, (partition, record))
