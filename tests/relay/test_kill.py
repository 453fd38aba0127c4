"""Killed at any step, again and again: nothing is lost, effects are once, order per key holds.

``CQRS_TEST_KILLS`` says how many random kills there are on each database (1 by default, and
MariaDB, where the steps are the same as on PostgreSQL, is spared some), ``CQRS_TEST_SEED`` repeats
a run.
"""

import os
import random
import secrets
import sys
from pathlib import Path

import pytest

from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyOutboxStorage,
    create_engine,
    create_session_factory,
)
from tests.killing import Child
from tests.relay.child import KEYS, KillPoint, work
from tests.relay.shop import FileBroker, arrived, open_shop

RANDOM_KILLS = int(os.environ.get("CQRS_TEST_KILLS", "1"))
IS_LONG_RUN = "CQRS_TEST_KILLS" in os.environ
TRIES = 10
FEW = [KillPoint.AFTER_EFFECT, KillPoint.BEFORE_SETTLE, KillPoint.DURING_REDRIVE]
STEP = 8  # each process has so much to do for each key, and some of it fails at first
DATABASES = ["sqlite_url", "postgres_url", "mariadb_url"]


class World:
    """A database and a broker that outlive the processes that work on them."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.broker = url, folder / "broker"
        self.broker.touch()
        self.counted: dict[str, int] = {}
        self.numbers = 0
        self.killed_at: list[str] = []
        self.relays: list[int] = []

    def run_until_killed_at(self, point: KillPoint, passes: int) -> None:
        self.numbers += STEP
        with Child(work, self.url, self.broker, self.numbers, point.name, passes) as child:
            self._take_in(child.wait())

    def run_and_kill(self, chance: random.Random) -> None:
        """Kill a process somewhere behind a randomly chosen line of its output."""
        self.numbers += STEP
        with Child(work, self.url, self.broker, self.numbers) as child:
            for _ in range(chance.randint(1, 2 * STEP)):
                child.next_line()
            for _ in range(chance.randrange(300_000)):  # somewhere inside what follows
                pass
            child.kill()
            self._take_in(child.wait())

    def run_to_completion(self) -> None:
        with Child(work, self.url, self.broker, self.numbers) as child:
            lines = child.wait()
            assert lines[-1] == "done", lines
            self._take_in(lines)

    def _take_in(self, lines: list[str]) -> None:
        for line in lines:
            match line.split():
                case ["counted", key, number]:
                    self.counted[key] = max(int(number), self.counted.get(key, 0))
                case ["killed", point]:
                    self.killed_at.append(point)
                case ["relay", relay_id]:
                    self.relays.append(int(relay_id))
                case ["failed", *_]:
                    pytest.fail(line)
                case _:
                    pass


@pytest.mark.timeout(7200 if IS_LONG_RUN else 600)
@pytest.mark.parametrize("database", DATABASES)
async def test_nothing_is_lost_or_doubled_or_out_of_order_wherever_the_process_is_killed(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    seed = os.environ.get("CQRS_TEST_SEED") or secrets.token_hex(4)
    sys.stdout.write(f"CQRS_TEST_SEED={seed}\n")
    chance = random.Random(f"{seed} {database}")
    world = World(request.getfixturevalue(database), tmp_path)
    points = FEW if database == "mariadb_url" and not IS_LONG_RUN else list(KillPoint)
    for point in points:
        for _ in range(TRIES):  # one may be through with its work before the point
            world.run_until_killed_at(point, passes=point.passes(chance))
            await check_counters(world)
            await end_leases(world)
            if world.killed_at[-1:] == [point.name]:
                break
    for _ in range(RANDOM_KILLS):
        world.run_and_kill(chance)
        await check_counters(world)
    world.run_to_completion()
    assert world.killed_at == [point.name for point in points]
    await check_all(world)


async def check_counters(world: World) -> None:
    """What was reported as counted is counted."""
    shop = await open_shop(world.url, FileBroker(world.broker))
    async with shop.uow() as uow:
        for key, number in world.counted.items():
            assert (await uow.counters.require(key)).count >= number
        engine = uow.engine
    await engine.dispose()


async def end_leases(world: World) -> None:
    """Let the next process begin at once; after random kills, it waits for the leases' end."""
    engine = create_engine(world.url)
    storage = SQLAlchemyOutboxStorage(create_session_factory(engine))
    while world.relays:
        await storage.leave(world.relays.pop())
    await engine.dispose()


async def check_all(world: World) -> None:
    shop = await open_shop(world.url, FileBroker(world.broker))
    async with shop.uow() as uow:
        for key in KEYS:
            assert (await uow.counters.require(key)).count == world.numbers
            assert (await uow.ledgers.require(key)).seen == list(range(world.numbers))
        engine = uow.engine
    statistics = await shop.storage.statistics()
    await engine.dispose()
    assert (statistics.waiting, statistics.parked, statistics.dead_letters) == (0, 0, 0)
    assert arrived(world.broker) == {f"Counter_/{key}": list(range(world.numbers)) for key in KEYS}
