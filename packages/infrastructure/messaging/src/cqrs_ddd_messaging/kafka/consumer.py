"""Consumes topics of Kafka as a member of a group."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cqrs_ddd_core import Delivery, OutboxMessage
from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_messaging.dead_letters import BrokerDeadLetters
from cqrs_ddd_messaging.envelope import STRUCTURED, from_json
from cqrs_ddd_messaging.kafka.client import KafkaConfig, KafkaError, aiokafka, attributes_in
from cqrs_ddd_messaging.kafka.dead_letters import DEAD, KafkaDeadLetterShelf
from cqrs_ddd_messaging.kafka.partition_work import PartitionWork
from cqrs_ddd_messaging.notes import dead_letter_notes
from cqrs_ddd_messaging.serializer import EnvelopeSerializer

_log = logging.getLogger(__name__)
_POLL = 500  # milliseconds that a fetch waits
_COMMIT_PAUSE = 0.5  # seconds before another attempt to commit


class KafkaConsumer:
    """Consumes topics (see ``IMessageConsumer``).

    Dead letters go to the topic ``<topic>.dead``. Kafka cannot delay a message, so a failed one
    waits here, and its partition is committed only up to it.

    Args:
        config: where Kafka is.
        topics: what to consume.
        group: whose members share the partitions.
        rebalance_drain: seconds that handlers have to finish when partitions go to another member.
        serializer: takes messages out of their envelopes.
    """

    def __init__(
        self,
        config: KafkaConfig,
        topics: str | Sequence[str],
        *,
        group: str,
        rebalance_drain: float = 10.0,
        serializer: EnvelopeSerializer | None = None,
    ) -> None:
        self._config, self._group, self._rebalance_drain = config, group, rebalance_drain
        self._topics = [topics] if isinstance(topics, str) else list(topics)
        self._serializer = serializer or EnvelopeSerializer()

    @property
    def name(self) -> str:
        """The topics, and where they are."""
        return f"{', '.join(self._topics)} at {self._config.bootstrap_servers}"

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator["KafkaSubscription"]:
        """Join the group, and leave it at the end with what was settled committed."""
        consumer, producer = self._config.consumer(self._group), self._config.producer()
        subscription = KafkaSubscription(
            consumer, producer, self._serializer, self._config, self._rebalance_drain
        )
        listener = _rebalance_listener(subscription)
        committing = asyncio.create_task(subscription.commit_again_and_again())
        try:
            consumer.subscribe(self._topics, listener=listener)
            try:
                await consumer.start()
                await producer.start()
            except (KafkaError, OSError) as error:
                raise self._config.unavailable(repr(error)) from error
            yield subscription
        finally:
            committing.cancel()
            await asyncio.gather(committing, return_exceptions=True)
            await subscription.end()
            await consumer.stop()
            await producer.stop()

    def dead_letters(self) -> BrokerDeadLetters:
        """Return what looks after the topics of the dead letters."""
        return BrokerDeadLetters(KafkaDeadLetterShelf(self._config, self._topics))


class KafkaSubscription:
    """A membership in a group (see ``ISubscription``)."""

    def __init__(
        self,
        consumer: Any,
        producer: Any,
        serializer: EnvelopeSerializer,
        config: KafkaConfig,
        rebalance_drain: float,
    ) -> None:
        self._consumer, self._producer, self._serializer = consumer, producer, serializer
        self._config, self._rebalance_drain = config, rebalance_drain
        self._work: dict[Any, PartitionWork] = {}
        self._committed: dict[Any, int] = {}
        self._to_commit, self._assigned = asyncio.Event(), asyncio.Event()

    async def receive(self, limit: int) -> Sequence[Delivery]:
        """Wait for records and return some."""
        while True:
            await self._assigned.wait()  # not while partitions change hands
            try:
                found = await self._consumer.getmany(timeout_ms=_POLL, max_records=limit)
            except (KafkaError, OSError) as error:
                raise self._config.unavailable(repr(error)) from error
            deliveries = [
                self._delivery(partition, record)
                for partition, records in found.items()
                for record in records
            ]
            if deliveries:
                return deliveries

    async def read(self, delivery: Delivery) -> OutboxMessage:
        """Take the message out of its envelope."""
        if delivery.headers.get("datacontenttype", "").startswith(STRUCTURED):
            envelope = from_json(delivery.body)
            return await self._serializer.unwrap(envelope.attributes, envelope.data)
        return await self._serializer.unwrap(delivery.headers, delivery.body)

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Take note; offsets are committed in the background, and at the end."""
        for delivery in deliveries:
            partition, _ = delivery.token
            if not delivery.lost:
                self._work[partition].settled(delivery)
        self._to_commit.set()

    async def retry_later(self, delivery: Delivery, delay: float) -> bool:  # noqa: ARG002 - the port's
        """Leave it to the caller: Kafka delays nothing."""
        return False

    async def dead_letter(self, delivery: Delivery, error: Exception) -> None:
        """Publish the record as it came, with the error, to the topic of the dead letters."""
        partition, record = delivery.token
        notes = dead_letter_notes(error, topic=record.topic, attempt=delivery.attempt)
        headers = [*record.headers, *((name, text.encode()) for name, text in notes.items())]
        try:
            await self._producer.send_and_wait(
                f"{partition.topic}{DEAD}", record.value or b"", key=record.key, headers=headers
            )
        except (KafkaError, OSError) as problem:
            raise self._config.unavailable(repr(problem)) from problem
        await self.acknowledge([delivery])

    async def commit_again_and_again(self) -> None:
        """Commit what has been settled, as often as the answers of Kafka allow."""
        while True:
            await self._to_commit.wait()
            await self._assigned.wait()  # a commit would only disturb the group that gathers anew
            self._to_commit.clear()
            try:
                await shielded(self.commit())
            except (KafkaError, OSError) as error:
                # Partitions change hands, or the broker is away: what is not committed is delivered
                # again to whoever has the partition then.
                _log.warning("Offsets could not be committed yet: %r", error)
                await asyncio.sleep(_COMMIT_PAUSE)
                self._to_commit.set()

    async def commit(self) -> None:
        """Commit, for each partition, the offset before which everything is settled."""
        offsets = {
            partition: progress.to_commit
            for partition, progress in self._work.items()
            if progress.to_commit is not None
            and progress.to_commit != self._committed.get(partition)
        }
        if offsets:
            await self._consumer.commit(offsets)
            self._committed.update(offsets)

    async def revoked(self, partitions: Iterable[Any]) -> None:
        """Finish what is under way in partitions that go to another member, then commit it."""
        self._assigned.clear()
        going = {each: self._work[each] for each in partitions if each in self._work}
        try:
            async with asyncio.timeout(self._rebalance_drain):
                for progress in going.values():
                    await progress.drained()
        except TimeoutError:
            _log.warning("Partitions change hands before their messages are handled")
        try:
            await self.commit()
        except (KafkaError, OSError) as error:
            _log.warning("Offsets could not be committed before a rebalance: %r", error)
        for partition, progress in going.items():
            progress.lose()
            del self._work[partition]

    def assigned(self, partitions: Iterable[Any]) -> None:
        """Begin anew with the partitions of this member."""
        self._work = {partition: PartitionWork() for partition in partitions}
        self._committed.clear()
        self._assigned.set()

    async def end(self) -> None:
        """Commit what was settled last."""
        try:
            await self.commit()
        except (KafkaError, OSError) as error:
            _log.warning("The last offsets could not be committed: %r", error)
        for progress in self._work.values():
            progress.lose()

    def _delivery(self, partition: Any, record: Any) -> Delivery:
        attributes = attributes_in(record)
        key = attributes.get("partitionkey") or (record.key or b"").decode(errors="replace")
        delivery = Delivery(
            message_id=attributes.get("id", ""),
            key=key and f"{record.topic}/{key}",
            headers=attributes,
            body=record.value or b"",
            topic=record.topic,
            token=(partition, record),
        )
        self._work[partition].began(delivery, record.offset)
        return delivery


def _rebalance_listener(subscription: KafkaSubscription) -> Any:
    """Return a listener of aiokafka's, whose class is known at run time alone."""

    class Listener(aiokafka.ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
            await subscription.revoked(revoked)

        async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
            subscription.assigned(assigned)

    return Listener()
