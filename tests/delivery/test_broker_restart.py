"""Four relays on one outbox, under load, while RabbitMQ goes away and comes back."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import pytest

from cqrs_ddd_core import (
    BaseEventConsumer,
    ConsumerSettings,
    OutboxMessage,
    RetryPolicy,
    new_id,
    utc_now,
)
from cqrs_ddd_core.testing import until
from cqrs_ddd_messaging.rabbitmq import RabbitMQConnectionManager, RabbitMQConsumer
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyOutboxStorage,
    create_engine,
    create_schema,
    create_session_factory,
)
from tests.delivery.child import Places
from tests.delivery.relaying import relay
from tests.killing import LONG, Child
from tests.servers.rabbitmq import RestartableRabbitMQ

KEYS = [f"k-{number}" for number in range(40)]
RELAYS = 4
PACE = 0.2  # seconds between two messages of a key: a load, not a flood


class Load:
    """Saves messages in the order of their keys until it is told to stop."""

    def __init__(self, storage: SQLAlchemyOutboxStorage) -> None:
        self.saved = 0
        self._storage, self._stopping = storage, False

    async def run(self) -> None:
        while not self._stopping:
            await self._storage.save_messages([_message(key, self.saved) for key in KEYS])
            self.saved += 1
            await asyncio.sleep(PACE)

    async def goes_on(self, rounds: int) -> None:
        """Wait until so many more messages of each key were saved."""
        enough = self.saved + rounds
        await until(lambda: self.saved >= enough, LONG)

    def stop(self) -> None:
        self._stopping = True


class Arrivals:
    """What has arrived behind the broker; of repetitions the first."""

    def __init__(self) -> None:
        self.by_key: defaultdict[str, dict[int, None]] = defaultdict(dict)

    async def __call__(self, message: OutboxMessage) -> None:
        self.by_key[message.partition_key][int(message.payload)] = None

    def least(self) -> int:
        return min(len(self.by_key[key]) for key in KEYS)


def _message(key: str, number: int) -> OutboxMessage:
    return OutboxMessage(
        message_id=new_id(),
        event_type="Raced",
        payload=str(number).encode(),
        occurred_at=utc_now(),
        partition_key=key,
    )


@asynccontextmanager
async def consuming(places: Places, arrivals: Arrivals) -> AsyncGenerator[BaseEventConsumer]:
    broker = RabbitMQConsumer(places.amqp, places.rabbitmq_queue())
    settings = ConsumerSettings(reconnect_policy=RetryPolicy(base_delay=0.05, max_delay=0.5))
    consumer = BaseEventConsumer(broker, arrivals, name="arrivals", settings=settings)
    await consumer.start()
    yield consumer
    await consumer.stop()


@asynccontextmanager
async def outbox(url: str) -> AsyncGenerator[SQLAlchemyOutboxStorage]:
    engine = create_engine(url)
    storage = SQLAlchemyOutboxStorage(create_session_factory(engine))
    await create_schema(engine, storage)
    yield storage
    await engine.dispose()


@pytest.mark.timeout(600)
async def test_four_relays_lose_and_invert_nothing_when_the_broker_goes_away_under_load(
    postgres_url: str, restartable_rabbitmq: RestartableRabbitMQ
) -> None:
    places = Places(postgres_url, restartable_rabbitmq.amqp, "cqrs-restart", numbers=0)
    async with RabbitMQConnectionManager(places.amqp) as connection:
        await places.rabbitmq_queue().declare(await connection.open_channel())
    arrivals = Arrivals()
    with ExitStack() as processes:
        async with AsyncExitStack() as stack:
            storage = await stack.enter_async_context(outbox(postgres_url))
            consumer = await stack.enter_async_context(consuming(places, arrivals))
            relays = [processes.enter_context(Child(relay, places)) for _ in range(RELAYS)]
            load = Load(storage)
            saving = asyncio.create_task(load.run())
            await until(lambda: _at_work(storage), LONG)
            await until(lambda: arrivals.least() >= 3, LONG)

            await asyncio.to_thread(restartable_rabbitmq.stop)
            await until(lambda: any(each.has_reported("away") for each in relays), LONG)
            await until(lambda: not consumer.is_connected, LONG)
            await load.goes_on(5)
            restartable_rabbitmq.start()  # in this thread, with which it would end
            await load.goes_on(5)

            load.stop()
            await saving
            await until(lambda: arrivals.least() >= load.saved, LONG)
            await until(lambda: _is_empty(storage), LONG)
            assert any(each.has_reported("back") for each in relays)
    in_order = list(range(load.saved))
    assert {key: list(arrivals.by_key[key]) for key in KEYS} == dict.fromkeys(KEYS, in_order)


async def _at_work(storage: SQLAlchemyOutboxStorage) -> bool:
    return (await storage.statistics()).relays == RELAYS


async def _is_empty(storage: SQLAlchemyOutboxStorage) -> bool:
    statistics = await storage.statistics()
    return (statistics.waiting, statistics.dead_letters) == (0, 0)
