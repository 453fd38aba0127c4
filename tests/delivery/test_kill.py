"""Killed at any step between a command and its effect behind RabbitMQ: nothing lost, effects once.

``CQRS_TEST_KILLS`` says how many random kills there are (3 by default), ``CQRS_TEST_SEED`` repeats
a run.
"""

import json
import os
import random
import secrets
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
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
from tests.delivery.child import (
    POISONED,
    DeliveryUnitOfWork,
    Places,
    is_poison,
    work,
    work_for_ever,
)
from tests.killing import Child
from tests.relay.child import KEYS, KillPoint

RANDOM_KILLS = int(os.environ.get("CQRS_TEST_KILLS", "3"))
STEP = 8  # each process counts so much further, if it gets there
NUMBERS = STEP * (len(KillPoint) + RANDOM_KILLS)
IS_LONG_RUN = "CQRS_TEST_KILLS" in os.environ


class World:
    """The servers that outlive the processes, and the model of what they must hold."""

    def __init__(self, places: Places, channel: AbstractChannel) -> None:
        self.places, self.channel = places, channel
        self.sessions = create_session_factory(create_engine(places.database))
        self.storage = SQLAlchemyOutboxStorage(self.sessions)
        self.counted: dict[str, int] = dict.fromkeys(KEYS, 0)
        self.relays: list[int] = []
        self.kills = 0

    def uow(self) -> DeliveryUnitOfWork:
        return DeliveryUnitOfWork(self.sessions)

    def run(self, work: Callable[..., None], *arguments: object) -> Child:
        return Child(work, replace(self.places, numbers=STEP * (self.kills + 1)), *arguments)

    async def was_killed(self, child: Child) -> None:
        self.take_in(child.wait())
        assert child.was_killed, child.lines
        self.kills += 1
        await self.check_what_was_acknowledged()
        while self.relays:  # let the next process begin at once
            await self.storage.leave(self.relays.pop())

    def take_in(self, lines: Sequence[str]) -> None:
        for line in lines:
            match line.split():
                case ["counted", key, number]:
                    self.counted[key] = max(int(number), self.counted[key])
                case ["relay", relay_id]:
                    self.relays.append(int(relay_id))
                case ["failed", *_]:
                    pytest.fail(line)
                case _:
                    pass

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
                assert (await uow.counters.require(key)).count == NUMBERS
                effect = await uow.effects.require(key)
                wanted = max(n for n in range(NUMBERS) if not is_poison(key, n))
                assert (effect.last, effect.wrong) == (wanted, [])
        statistics = await self.storage.statistics()
        assert (statistics.waiting, statistics.parked, statistics.dead_letters) == (0, 0, 0)
        poison = {number for number in range(NUMBERS) if is_poison(POISONED, number)}
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
    places = Places(postgres_url, rabbitmq_url, f"cqrs-test-{uuid4().hex[:12]}", NUMBERS)
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
    seed = os.environ.get("CQRS_TEST_SEED") or secrets.token_hex(4)
    sys.stdout.write(f"CQRS_TEST_SEED={seed}\n")
    chance = random.Random(seed)
    for point in KillPoint:
        with world.run(work, point.name, point.passes(chance)) as child:
            await world.was_killed(child)
            assert child.lines[-1] == f"killed {point.name}"
    were_idle = 0
    for _ in range(RANDOM_KILLS):
        with world.run(work_for_ever) as child:
            for _ in range(chance.randint(1, 4 * STEP)):
                if child.next_line() == "idle":
                    break
            for _ in range(chance.randrange(300_000)):  # somewhere inside what follows
                pass
            child.kill()
            await world.was_killed(child)
            were_idle += "idle" in child.lines
    with Child(work, world.places) as child:
        assert child.wait()[-1] == "done"
    await world.check_all()
    sys.stdout.write(
        f"{len(KillPoint)} kills at known points, {RANDOM_KILLS} at random, {were_idle} of them "
        f"when there was nothing to do; {NUMBERS} messages for each of {len(KEYS)} keys\n"
    )
