"""RabbitMQ keeps the promises of a broker."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import pytest

from cqrs_ddd_core import OutboxMessage, RetryPolicy
from cqrs_ddd_core.testing import until
from cqrs_ddd_messaging.rabbitmq import (
    RabbitMQConnectionManager,
    RabbitMQConsumer,
    RabbitMQPublisher,
    RabbitMQQueue,
)
from cqrs_ddd_messaging.rabbitmq.messages import PREFIX, amqp_message
from cqrs_ddd_messaging.testing import BrokerConformance, BrokerRestartConformance, Handled
from cqrs_ddd_messaging.testing.dead_letters import listed
from cqrs_ddd_messaging.testing.world import TIMEOUT, consuming, message
from tests.servers.rabbitmq import RestartableRabbitMQ


class RabbitMQUnderTest:
    def __init__(self, url: str, server: RestartableRabbitMQ | None = None) -> None:
        name = f"cqrs-test-{uuid4().hex[:12]}"
        self.connection = RabbitMQConnectionManager(url)
        self.queue = RabbitMQQueue(name=name, exchange=f"{name}.x", bindings=("conformance.#",))
        self.publisher = RabbitMQPublisher(self.connection, self.queue.exchange)
        self.consumer = RabbitMQConsumer(self.connection, self.queue)
        self._server = server

    async def set_up(self) -> None:
        channel = await self.connection.open_channel()
        await self.queue.declare(channel)
        await channel.close()

    async def tear_down(self) -> None:
        channel = await self.connection.open_channel()
        await self.queue.delete(channel)
        await channel.exchange_delete(self.queue.exchange)
        await self.publisher.close()
        await self.connection.close()

    async def publish_raw(self, body: bytes, attributes: Mapping[str, str]) -> None:
        channel = await self.connection.open_channel()
        headers = {f"{PREFIX}{name}": value for name, value in attributes.items()}
        raw = amqp_message(body, headers)
        await channel.default_exchange.publish(raw, self.queue.name)
        await channel.close()

    def unroutable(self, message: OutboxMessage) -> OutboxMessage:
        return replace(message, event_type="nobody.listens")

    async def go_down(self) -> None:
        assert self._server is not None
        await asyncio.to_thread(self._server.stop)

    async def come_back(self) -> None:
        assert self._server is not None
        self._server.start()  # not in a thread: the server ends with the thread that started it


@pytest.fixture
async def broker(rabbitmq_url: str) -> AsyncGenerator[RabbitMQUnderTest]:
    broker = RabbitMQUnderTest(rabbitmq_url)
    await broker.set_up()
    yield broker
    await broker.tear_down()


class TestRabbitMQ(BrokerConformance):
    pass


async def test_what_rabbitmq_parked_by_itself_is_redriven_like_the_rest(
    broker: RabbitMQUnderTest,
) -> None:
    await broker.tear_down()
    broker.queue = replace(broker.queue, delivery_limit=1)
    broker.consumer = RabbitMQConsumer(broker.connection, broker.queue)
    await broker.set_up()
    await broker.publisher.publish([message("m-1", "a")])
    letters = broker.consumer.dead_letters()

    async def parked_by_a_death() -> bool:
        with suppress(TimeoutError):
            async with broker.consumer.connect() as dying, asyncio.timeout(0.2):
                await dying.receive(1)
        return await letters.count() == 1

    await until(parked_by_a_death, TIMEOUT)
    (letter,) = await listed(broker, 1)
    assert (letter.message_id, letter.error) == ("m-1", "RabbitMQ parked it: delivery_limit")
    assert letter.parked_at is None
    assert await letters.redrive() == ["m-1"]
    async with broker.consumer.connect() as subscription:
        (again,) = await subscription.receive(1)
    assert (again.attempt, again.redeliveries) == (1, 0)
    assert not [name for name in again.token.header.properties.headers if "death" in name]


REDRIVE_AND_HANG = """
import asyncio, sys
from cqrs_ddd_messaging.rabbitmq import RabbitMQConsumer, RabbitMQQueue
from cqrs_ddd_messaging.rabbitmq.dead_letters import RabbitMQDeadLetterScan

async def hang(self, stored):
    print(len(stored), flush=True)
    await asyncio.Event().wait()

RabbitMQDeadLetterScan.remove = hang
url, name, exchange = sys.argv[1:]
queue = RabbitMQQueue(name=name, exchange=exchange, bindings=("conformance.#",))
asyncio.run(RabbitMQConsumer(url, queue).dead_letters().redrive())
"""


async def test_a_redrive_killed_before_it_removes_what_it_sent_loses_nothing(
    broker: RabbitMQUnderTest, rabbitmq_url: str
) -> None:
    ids = ["m-1", "m-2", "m-3"]
    handled, letters = Handled(), broker.consumer.dead_letters()
    handled.fails = dict.fromkeys(ids, 1)
    await broker.publisher.publish([message(each, "a") for each in ids])
    async with consuming(broker, handled, retry_policy=RetryPolicy(max_attempts=1)):
        await listed(broker, 3)
    arguments = ["-c", REDRIVE_AND_HANG, rabbitmq_url, broker.queue.name, broker.queue.exchange]
    child = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE)
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), TIMEOUT) == b"3\n"
    child.kill()
    await child.wait()
    assert [each.message_id for each in await listed(broker, 3)] == ids
    assert await letters.redrive() == ids
    async with consuming(broker, handled):
        await until(lambda: handled.ids == [*ids, *ids], TIMEOUT)  # an inbox would notice
    assert await letters.count() == 0


class TestARestartedRabbitMQ(BrokerRestartConformance):
    @pytest.fixture
    async def restartable_broker(
        self, restartable_rabbitmq: RestartableRabbitMQ
    ) -> AsyncGenerator[RabbitMQUnderTest]:
        broker = RabbitMQUnderTest(restartable_rabbitmq.amqp, restartable_rabbitmq)
        await broker.set_up()
        yield broker
        await broker.tear_down()
