"""Killed at any step between a command and its effect behind RabbitMQ: nothing lost, effects once.

``CQRS_TEST_KILLS`` says how many random kills there are (3 by default), ``CQRS_TEST_SEED`` repeats
a run.
"""

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest
from aio_pika.abc import AbstractChannel

from cqrs_ddd_messaging.rabbitmq import RabbitMQConnectionManager
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyInboxStorage,
    SQLAlchemyOutboxStorage,
    create_engine,
    create_schema,
    create_session_factory,
)
from tests.delivery.child import POISONED, DeliveryUnitOfWork, Places, is_poison, work
from tests.killing import IS_LONG_RUN, Child, KilledWorld, chance_of, random_kills
from tests.relay.child import KEYS, KillPoint


class World(KilledWorld):
    """The servers that outlive the processes, and the model of what they must hold."""

    def __init__(self, places: Places, channel: AbstractChannel) -> None:
        super().__init__()
        self.places, self.channel = places, channel
        self.sessions = create_session_factory(create_engine(places.database))
        self.storage = SQLAlchemyOutboxStorage(self.sessions)

    def uow(self) -> DeliveryUnitOfWork:
        return DeliveryUnitOfWork(self.sessions)

    def start(self, point: str = "", passes: int = 0, *, ends: bool = True) -> Child:
        places = replace(self.places, numbers=self.numbers)
        return Child(work, places, point, passes, ends=ends)

    async def end_lease(self, relay_id: int) -> None:
        await self.storage.leave(relay_id)

    async def check_what_was_acknowledged(self) -> None:
        async with self.uow() as uow:
            for key, number in self.counted.items():
                counter = await uow.counters.get(key)
                assert number <= (counter.count if counter is not None else 0)
                effect = await uow.effects.get(key)
                assert effect is None or effect.wrong == []

    async def check_all(self) -> None:
        async with self.uow() as uow:
            for key in KEYS:
                assert (await uow.counters.require(key)).count == self.numbers
                effect = await uow.effects.require(key)
                wanted = max(n for n in range(self.numbers) if not is_poison(key, n))
                assert (effect.last, effect.wrong) == (wanted, [])
        statistics = await self.storage.statistics()
        assert (statistics.waiting, statistics.parked, statistics.dead_letters) == (0, 0, 0)
        poison = {number for number in range(self.numbers) if is_poison(POISONED, number)}
        assert await self.dead_letters() == poison

    async def dead_letters(self) -> set[int]:
        """Return the numbers among the dead letters of the queue; some may be there twice."""
        queue = await self.channel.get_queue(self.places.rabbitmq_queue().dead)
        found: set[int] = set()
        while (letter := await queue.get(fail=False)) is not None:
            assert letter.headers["cqrs-error"] == "poison"
            found.add(json.loads(letter.body)["number"])
            await letter.ack()
        return found


@pytest.fixture
async def world(postgres_url: str, rabbitmq_url: str) -> AsyncGenerator[World]:
    places = Places(postgres_url, rabbitmq_url, f"cqrs-test-{uuid4().hex[:12]}", 0)
    async with declared(places) as channel:
        world = World(places, channel)
        engine = world.sessions.kw["bind"]
        await create_schema(
            engine, DeliveryUnitOfWork, world.storage, SQLAlchemyInboxStorage(world.sessions)
        )
        yield world
        await engine.dispose()


@asynccontextmanager
async def declared(places: Places) -> AsyncGenerator[AbstractChannel]:
    queue = places.rabbitmq_queue()
    async with RabbitMQConnectionManager(places.amqp) as connection:
        channel = await connection.open_channel()
        await queue.declare(channel)
        yield channel
        await queue.delete(channel)
        await channel.exchange_delete(queue.exchange)


@pytest.mark.timeout(7200 if IS_LONG_RUN else 600)
async def test_nothing_is_lost_or_doubled_or_out_of_order_wherever_the_process_is_killed(
    world: World,
) -> None:
    chance = chance_of("rabbitmq")
    for point in KillPoint:
        await world.run_until_killed_at(point, lambda at=point: at.passes(chance))
    kills = random_kills(ordinarily=3)
    for _ in range(kills):
        await world.run_and_kill(chance)
    world.run_to_completion()
    assert world.kills == len(KillPoint) + kills
    await world.check_all()
    sys.stdout.write(
        f"{len(KillPoint)} kills at known points, {kills} at random, {world.idle} of them "
        f"when there was nothing to do; {world.numbers} messages for each of {len(KEYS)} keys\n"
    )
