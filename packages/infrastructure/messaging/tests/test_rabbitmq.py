"""RabbitMQ keeps the promises of a broker."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from uuid import uuid4

import pytest

from cqrs_ddd_core import OutboxMessage
from cqrs_ddd_messaging.rabbitmq import (
    RabbitMQConnectionManager,
    RabbitMQConsumer,
    RabbitMQPublisher,
    RabbitMQQueue,
)
from cqrs_ddd_messaging.rabbitmq.publisher import PREFIX, amqp_message
from cqrs_ddd_messaging.testing import BrokerConformance, BrokerRestartConformance, Parked
from tests.servers.rabbitmq import RestartableRabbitMQ


class RabbitMQUnderTest:
    def __init__(self, url: str, server: RestartableRabbitMQ | None = None) -> None:
        name = f"cqrs-test-{uuid4().hex[:12]}"
        self.connection = RabbitMQConnectionManager(url)
        self.queue = RabbitMQQueue(name=name, exchange=f"{name}.x", bindings=("conformance.#",))
        self.publisher = RabbitMQPublisher(self.connection, self.queue.exchange)
        self.consumer = RabbitMQConsumer(self.connection, self.queue)
        self._server, self._parked = server, list[Parked]()

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

    async def parked(self) -> list[Parked]:
        channel = await self.connection.open_channel()
        dead = await channel.get_queue(self.queue.dead)
        while (found := await dead.get(fail=False)) is not None:
            error = str(found.headers["cqrs-error-type"])
            self._parked.append(Parked(found.message_id or "", found.body, error))
            await found.ack()
        await channel.close()
        return self._parked

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


class TestRabbitMQ(BrokerConformance):
    @pytest.fixture
    async def broker(self, rabbitmq_url: str) -> AsyncGenerator[RabbitMQUnderTest]:
        broker = RabbitMQUnderTest(rabbitmq_url)
        await broker.set_up()
        yield broker
        await broker.tear_down()


class TestARestartedRabbitMQ(BrokerRestartConformance):
    @pytest.fixture
    async def restartable_broker(
        self, restartable_rabbitmq: RestartableRabbitMQ
    ) -> AsyncGenerator[RabbitMQUnderTest]:
        broker = RabbitMQUnderTest(restartable_rabbitmq.amqp, restartable_rabbitmq)
        await broker.set_up()
        yield broker
        await broker.tear_down()
