"""Publishing and consuming through our adapters, beside the native client's confirmed loop."""

import asyncio
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import uuid4

import aio_pika

from benchmarks.harness import Pair, case
from cqrs_ddd_core import BaseEventConsumer, ConsumerSettings, OutboxMessage
from cqrs_ddd_messaging.kafka import KafkaConfig, KafkaConsumer, KafkaPublisher
from cqrs_ddd_messaging.kafka.client import aiokafka
from cqrs_ddd_messaging.rabbitmq import (
    RabbitMQConnectionManager,
    RabbitMQConsumer,
    RabbitMQPublisher,
    RabbitMQQueue,
)
from tests.servers.kafka import mock_cluster

_RABBITMQ = os.environ.get("CQRS_TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/")
_MESSAGES, _BATCH, _KEYS = 2000, 500, 1000
_CONSUMED = 1000  # of those in the queue
_BODY = b'{"order_id": "o-1", "total": "9.99", "lines": [1, 2, 3], "note": "' + b"x" * 130 + b'"}'
_numbers = count()


def _messages(amount: int) -> list[OutboxMessage]:
    now = datetime.now(UTC)
    return [
        OutboxMessage(
            message_id=str(uuid4()),
            event_type="bench.Placed",
            payload=_BODY,
            occurred_at=now,
            partition_key=f"Order/{next(_numbers) % _KEYS}",
            aggregate_type="Order",
            correlation_id="request-1",
        )
        for _ in range(amount)
    ]


async def _publish(publisher: Any) -> int:
    for _ in range(_MESSAGES // _BATCH):
        assert not any(await publisher.publish(_messages(_BATCH)))
    return _MESSAGES


def _native_headers(number: int) -> dict[str, str]:
    """Return what a careful hand-written sender would put on a message."""
    return {
        "id": str(uuid4()),
        "type": "bench.Placed.v1",
        "time": datetime.now(UTC).isoformat(),
        "partitionkey": f"Order/{number % _KEYS}",
        "correlationid": "request-1",
    }


@case("messaging", "rabbitmq.publish.confirmed", unit="messages/s", better="higher", rounds=5)
async def rabbitmq_publish() -> AsyncGenerator[Pair]:
    """Quorum queue, mandatory, persistent, confirmed; batches of 500 with about as many keys."""
    async with RabbitMQConnectionManager(_RABBITMQ) as connection:
        name = f"cqrs-bench-{uuid4().hex[:8]}"
        queue = RabbitMQQueue(name=name, exchange=f"{name}.x")
        channel = await connection.open_channel()
        await queue.declare(channel)
        exchange = await channel.get_exchange(queue.exchange)
        publisher = RabbitMQPublisher(connection, queue.exchange)

        async def send(number: int) -> None:
            message = aio_pika.Message(
                _BODY,
                headers=dict(_native_headers(number)),
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                message_id=str(number),
            )
            await exchange.publish(message, "bench.Placed", mandatory=True)

        async def native() -> int:
            for _ in range(_MESSAGES // _BATCH):
                await asyncio.gather(*(send(next(_numbers)) for _ in range(_BATCH)))
            return _MESSAGES

        yield Pair(ours=lambda: _publish(publisher), twin=native)
        await queue.delete(channel)
        await channel.exchange_delete(queue.exchange)
        await publisher.close()


@case("messaging", "rabbitmq.consume.acknowledged", unit="messages/s", better="higher", rounds=5)
async def rabbitmq_consume() -> AsyncGenerator[Pair]:
    """Order per key, acknowledged one by one; the twin acknowledges in its callback."""
    async with RabbitMQConnectionManager(_RABBITMQ) as connection:
        name = f"cqrs-bench-{uuid4().hex[:8]}"
        queue = RabbitMQQueue(name=name, exchange=f"{name}.x")
        channel = await connection.open_channel()
        await queue.declare(channel)
        publisher = RabbitMQPublisher(connection, queue.exchange)
        settings = ConsumerSettings(capacity=1000)
        seen = asyncio.Semaphore(0)

        async def handle(_: OutboxMessage) -> None:
            seen.release()

        async def all_seen() -> int:
            for _ in range(_CONSUMED):
                await seen.acquire()
            return _CONSUMED

        async def ours() -> int:
            consumer = BaseEventConsumer(
                RabbitMQConsumer(connection, queue), handle, name="bench", settings=settings
            )
            await consumer.start()
            done = await all_seen()
            await consumer.stop()
            return done

        async def native() -> int:
            own = await connection.open_channel()
            await own.set_qos(prefetch_count=500)
            source = await own.get_queue(queue.name)

            arrived = count(1)

            async def take(message: Any) -> None:
                if next(arrived) <= _CONSUMED:  # what comes on top goes back
                    await message.ack()
                    seen.release()

            await source.consume(take)
            done = await all_seen()
            await own.close()
            return done

        for _ in range(14):  # more than all rounds take
            await _publish(publisher)
        yield Pair(ours=ours, twin=native)
        await queue.delete(channel)
        await channel.exchange_delete(queue.exchange)
        await publisher.close()


@contextmanager
def _kafka() -> Generator[str]:
    """Yield a real cluster where one is named, else the mock one."""
    named = os.environ.get("CQRS_TEST_KAFKA_BOOTSTRAP")
    with ExitStack() as stack:
        yield named or stack.enter_context(mock_cluster()).bootstrap


@case("messaging", "kafka.publish.confirmed", unit="messages/s", better="higher", rounds=5)
async def kafka_publish() -> AsyncGenerator[Pair]:
    """acks=all, idempotent, keyed; the twin is the same producer with sends gathered."""
    with _kafka() as bootstrap:
        config = KafkaConfig(bootstrap_servers=bootstrap)
        producer = config.producer()
        await producer.start()
        publisher = KafkaPublisher(config, "bench")

        async def native() -> int:
            for _ in range(_MESSAGES // _BATCH):
                sent: list[Any] = []
                for _ in range(_BATCH):
                    fields = _native_headers(next(_numbers))
                    headers = [(name, value.encode()) for name, value in fields.items()]
                    key = fields["partitionkey"].encode()
                    sent.append(await producer.send("bench", _BODY, key=key, headers=headers))
                await asyncio.gather(*sent)
            return _MESSAGES

        yield Pair(ours=lambda: _publish(publisher), twin=native)
        await publisher.close()
        await producer.stop()


@case("messaging", "kafka.consume.committed", unit="messages/s", better="higher", rounds=5)
async def kafka_consume() -> AsyncGenerator[Pair]:
    """Order per key, offsets without gaps; the twin commits behind each fetched batch."""
    with _kafka() as bootstrap:
        config = KafkaConfig(bootstrap_servers=bootstrap)
        publisher, topic = KafkaPublisher(config, "bench"), "bench"
        await _publish(publisher)

        async def ours() -> int:
            seen = asyncio.Semaphore(0)

            async def handle(_: OutboxMessage) -> None:
                seen.release()

            consumer = BaseEventConsumer(
                KafkaConsumer(config, topic, group=uuid4().hex), handle, name="bench"
            )
            await consumer.start()
            for _ in range(_MESSAGES):
                await seen.acquire()
            await consumer.stop()
            return _MESSAGES

        async def native() -> int:
            consumer = aiokafka.AIOKafkaConsumer(
                topic,
                bootstrap_servers=bootstrap,
                group_id=uuid4().hex,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
            )
            await consumer.start()
            seen = 0
            while seen < _MESSAGES:
                found = await consumer.getmany(timeout_ms=500, max_records=1000)
                seen += sum(map(len, found.values()))
                await consumer.commit()
            await consumer.stop()
            return _MESSAGES

        yield Pair(ours=ours, twin=native)
        await publisher.close()
