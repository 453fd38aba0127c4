"""A projection fed by RabbitMQ: the inbox takes the place of the checkpoint."""

import os
import random
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, select

from cqrs_ddd_core import (
    BaseEventConsumer,
    ConsumerSettings,
    DomainEvent,
    HandlerRegistry,
    JsonMessageCodec,
    OutboxMessage,
    RetryPolicy,
)
from cqrs_ddd_core.middleware.outbox import outbox_message
from cqrs_ddd_core.testing import until
from cqrs_ddd_messaging.rabbitmq import (
    RabbitMQConnectionManager,
    RabbitMQConsumer,
    RabbitMQPublisher,
    RabbitMQQueue,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyInboxStorage,
    SQLAlchemyReadModel,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
    text_type,
)
from cqrs_ddd_projections import ProjectionContext, ProjectionHandler, on, register_for_messages
from tests.killing import LONG

KEYS, EVENTS = 10, 30
BALANCES = Table(
    "balances",
    MetaData(),
    Column("id", text_type(key=True), primary_key=True),
    Column("events", BigInteger(), nullable=False, default=0),
    Column("total", BigInteger(), nullable=False, default=0),
    Column("last", BigInteger(), nullable=False, default=-1),
    Column("wrong", BigInteger(), nullable=False, default=0),
)


class Paid(DomainEvent):
    """Somebody has paid, for the n-th time."""

    number: int
    amount: int


class Balances(ProjectionHandler):
    """Adds up payments and counts those that come out of order; fails now and then, once each."""

    name = "balances"

    def __init__(self) -> None:
        super().__init__()
        self.fails_at = set[str]()

    @on(Paid)
    async def paid(self, event: Paid, at: ProjectionContext) -> None:
        key = event.aggregate_id or ""
        row = await at.write.get("balances", key) or {"last": -1}
        is_wrong = event.number != row["last"] + 1
        await at.write.add("balances", key, {"events": 1, "total": event.amount, "wrong": is_wrong})
        await at.write.put("balances", key, {"last": event.number})
        if event.event_id in self.fails_at:
            self.fails_at.discard(event.event_id)
            await at.write.flush()  # what is written by now must not stay
            raise ConnectionError("not now")


class World:
    """RabbitMQ on one side, a database on the other."""

    def __init__(self, database_url: str, rabbitmq_url: str) -> None:
        name = f"cqrs-test-{uuid4().hex[:12]}"
        self.amqp = RabbitMQConnectionManager(rabbitmq_url)
        self.queue = RabbitMQQueue(name=name, exchange=f"{name}.x")
        self.publisher = RabbitMQPublisher(self.amqp, self.queue.exchange)
        self.engine = create_engine(database_url)
        self.session_factory = create_session_factory(self.engine)
        self.inbox = SQLAlchemyInboxStorage(self.session_factory)
        self.read_model = SQLAlchemyReadModel(self.session_factory, BALANCES)
        self.handler, self.registry = Balances(), HandlerRegistry()
        register_for_messages(self.handler, self.registry, self.read_model)

    async def set_up(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self.engine.dispose)
        await create_schema(self.engine, self.inbox)
        await self.read_model.create(1, live=True)
        channel = await self.amqp.open_channel()
        await self.queue.declare(channel)
        stack.push_async_callback(self.amqp.close)
        stack.push_async_callback(self.publisher.close)
        stack.push_async_callback(channel.close)
        stack.push_async_callback(channel.exchange_delete, self.queue.exchange)
        stack.push_async_callback(self.queue.delete, channel)

    def consumer(self) -> BaseEventConsumer:
        return BaseEventConsumer(
            RabbitMQConsumer(self.amqp, self.queue),
            self.registry,
            name="balances",
            uow_factory=lambda: SQLAlchemyUnitOfWork(self.session_factory),
            inbox=self.inbox,
            settings=ConsumerSettings(
                batch_size=7, retry_policy=RetryPolicy(max_attempts=5, base_delay=0.01)
            ),
        )

    async def balances(self) -> dict[str, tuple[int, ...]]:
        """Return by key how many events counted, their total, the last, how many wrong."""
        async with self.engine.connect() as connection:
            return {key: tuple(rest) for key, *rest in await connection.execute(select(BALANCES))}


@pytest.fixture(params=["postgres_url", "sqlite_url"])
async def world(request: pytest.FixtureRequest, rabbitmq_url: str) -> AsyncGenerator[World]:
    async with AsyncExitStack() as stack:
        world = World(request.getfixturevalue(request.param), rabbitmq_url)
        await world.set_up(stack)
        yield world


def payments(chance: random.Random) -> dict[str, list[Paid]]:
    return {
        key: [
            Paid(
                aggregate_id=key,
                aggregate_type="Account",
                number=number,
                amount=chance.randrange(100),
            )
            for number in range(EVENTS)
        ]
        for key in (f"a-{number}" for number in range(KEYS))
    }


def interleaved(paid: dict[str, list[Paid]], chance: random.Random) -> list[OutboxMessage]:
    """Return the messages, those of a key in order, with every third one again later on."""
    codec = JsonMessageCodec()
    left = {key: [outbox_message(event, codec) for event in events] for key, events in paid.items()}
    messages: list[OutboxMessage] = []
    while left:
        key = chance.choice(list(left))
        messages.append(left[key].pop(0))
        if not left[key]:
            del left[key]
        if chance.random() < 1 / 3:
            messages.append(chance.choice(messages))
    return messages


async def test_each_event_counts_once_and_in_order_whatever_is_repeated_or_fails(
    world: World,
) -> None:
    seed = os.environ.get("CQRS_TEST_SEED") or secrets.token_hex(4)
    sys.stdout.write(f"CQRS_TEST_SEED={seed}\n")
    chance = random.Random(seed)
    paid = payments(chance)
    messages = interleaved(paid, chance)
    half = len(messages) // 2
    world.handler.fails_at.update(message.message_id for message in chance.sample(messages, 20))
    first, second = world.consumer(), world.consumer()
    await first.start()
    assert set(await world.publisher.publish(messages[:half])) == {None}
    await until(lambda: first.settled > half // 2, timeout=LONG)
    await first.stop()  # what it has in hand goes to the other one
    await second.start()
    assert set(await world.publisher.publish(messages[half:])) == {None}
    await until(lambda: first.settled + second.settled == len(messages), timeout=LONG)
    await second.stop()
    assert len(messages) > KEYS * EVENTS
    assert world.handler.fails_at == set()
    assert await world.balances() == {
        key: (EVENTS, sum(event.amount for event in events), EVENTS - 1, 0)
        for key, events in paid.items()
    }
