"""The process that is killed: commands, relay, RabbitMQ, consumer, inbox and effect in a worker."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass

from aio_pika.abc import AbstractExchange
from pydantic import Field

from cqrs_ddd_core import (
    AggregateRoot,
    BaseEventConsumer,
    ConsumerSettings,
    HandlerRegistry,
    Mediator,
    MiddlewareRegistry,
    OutboxMessage,
    OutboxMiddleware,
    RetryPolicy,
    repository,
)
from cqrs_ddd_core.cqrs.outbox import BufferedOutbox
from cqrs_ddd_core.ports.worker_part import Progress
from cqrs_ddd_core.runtime import Worker
from cqrs_ddd_core.testing import until
from cqrs_ddd_messaging.rabbitmq import (
    RabbitMQConnectionManager,
    RabbitMQConsumer,
    RabbitMQPublisher,
    RabbitMQQueue,
)
from cqrs_ddd_persistence_sqlalchemy import create_engine, create_session_factory
from tests.killing import LONG, tell
from tests.relay.child import KEYS, Inbox, KillPoint, Storage, trap
from tests.relay.shop import SETTINGS, Count, Counted, ShopUnitOfWork, count

POISONED = KEYS[-1]
CONSUMER = ConsumerSettings(
    batch_size=5,  # else most of a run is one transaction, and few kills meet its edges
    retry_policy=RetryPolicy(max_attempts=2, base_delay=0.002, max_delay=0.01),
    reconnect_policy=RetryPolicy(base_delay=0.05, max_delay=0.5),
)


@dataclass(frozen=True)
class Places:
    """Where everything is, and how far to count."""

    database: str
    amqp: str
    queue: str
    numbers: int

    def rabbitmq_queue(self) -> RabbitMQQueue:
        return RabbitMQQueue(name=self.queue, exchange=f"{self.queue}.x")


def is_poison(key: str, number: int) -> bool:
    """Whether a message has no effect however often it is tried: it becomes a dead letter."""
    return key == POISONED and number % 10 == 7


class Effect(AggregateRoot[str]):
    """What has been done about the messages of a key; what came twice or out of order shows."""

    last: int = -1
    wrong: list[int] = Field(default_factory=list[int])

    def take(self, number: int) -> None:
        expected = self.last + 1
        while is_poison(self.id, expected):
            expected += 1
        if number != expected:
            self.wrong = [*self.wrong, number]
        self.last = number


class DeliveryUnitOfWork(ShopUnitOfWork):
    effects = repository(Effect, table="effects")


async def take_effect(event: Counted, uow: DeliveryUnitOfWork) -> None:
    key = event.aggregate_id or ""
    if is_poison(key, event.number):
        raise ValueError("poison")
    effect = await uow.effects.get(key)
    if effect is None:
        effect = Effect(id=key)
        await uow.effects.add(effect)
    effect.take(event.number)


class Publisher(RabbitMQPublisher):
    """Fails with some messages, in each process so often that they are dead letters at first."""

    failures = Counter[str]()

    async def _send(self, exchange: AbstractExchange, message: OutboxMessage) -> None:
        self.failures[message.message_id] += 1
        is_bad = json.loads(message.payload)["number"] % 5 == 3
        if is_bad and self.failures[message.message_id] <= SETTINGS.retries.max_attempts:
            raise RuntimeError("not yet")
        await super()._send(exchange, message)
        trap.passed(KillPoint.WHILE_PUBLISHING)


class Commands:
    """Counts each key to the end, from where the database says it is; a part of the worker."""

    name = "commands"

    def __init__(self, app: "App", numbers: int) -> None:
        self.progress, self.have_ended = Progress(), asyncio.Event()
        self._app, self._numbers = app, numbers

    async def run(self, stopping: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for key in KEYS:
                group.create_task(self._count(key))
        self.have_ended.set()
        await stopping.wait()

    async def _count(self, key: str) -> None:
        async with self._app.uow() as uow:
            counter = await uow.counters.get(key)
        for _ in range(counter.count if counter is not None else 0, self._numbers):
            number = (await self._app.mediator.send(Count(key=key))).result
            tell(f"counted {key} {number}")
            trap.passed(KillPoint.AFTER_COMMIT)


class App:
    """Everything of the process, wired."""

    def __init__(self, places: Places) -> None:
        sessions = create_session_factory(create_engine(places.database))
        self.uow = lambda: DeliveryUnitOfWork(sessions)
        self.storage, inbox = Storage(sessions), Inbox(sessions)
        self.connection = RabbitMQConnectionManager(places.amqp)
        self.queue = places.rabbitmq_queue()
        publisher = Publisher(self.connection, self.queue.exchange)
        self.outbox = BufferedOutbox(storage=self.storage, broker=publisher, settings=SETTINGS)
        sending, receiving = HandlerRegistry(), HandlerRegistry()
        sending.register_command_handler(Count, count)
        receiving.register_event_handler(Counted, take_effect)
        self.mediator = Mediator(
            sending,
            self.uow,
            middleware_registry=MiddlewareRegistry([OutboxMiddleware(self.outbox)]),
        )
        self.consumer = BaseEventConsumer(
            RabbitMQConsumer(self.connection, self.queue, prefetch=50),
            receiving,
            name="effects",
            uow_factory=self.uow,
            inbox=inbox,
            settings=CONSUMER,
        )
        self.commands = Commands(self, places.numbers)

    async def has_redriven_all(self) -> bool:
        await self.storage.redrive()
        return not await self.storage.get_pending(1)

    async def has_consumed_all(self) -> bool:
        channel = await self.connection.open_channel()
        queue = await channel.declare_queue(self.queue.name, passive=True)
        await channel.close()
        waiting = queue.declaration_result.message_count
        return not waiting and self.consumer.is_connected and not self.consumer.held


async def run(places: Places, *, ends: bool) -> None:
    app = App(places)
    async with Worker([app.commands, app.outbox, app.consumer]):
        await app.commands.have_ended.wait()
        await until(app.has_redriven_all, LONG)
        await until(app.has_consumed_all, LONG)
        if not ends:
            tell("idle")
            await asyncio.Event().wait()


def work(places: Places, point: str, passes: int, *, ends: bool) -> None:
    """Run in a process of its own, up to a point if there is one, or for ever."""
    trap.point, trap.passes = point, passes
    asyncio.run(run(places, ends=ends))
