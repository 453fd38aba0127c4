"""Killed at any step, again and again: nothing is lost, effects are once, order per key holds.

``CQRS_TEST_KILLS`` says how many random kills there are on each database (1 by default, and
MariaDB, where the steps are the same as on PostgreSQL, is spared some), ``CQRS_TEST_SEED`` repeats
a run.
"""

import os
import random
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.relay.child import KEYS, NUMBERS, KillPoint
from tests.relay.shop import FileBroker, arrived, open_shop

ROOT = Path(__file__).parents[2]
RANDOM_KILLS = int(os.environ.get("CQRS_TEST_KILLS", "1"))
IS_LONG_RUN = "CQRS_TEST_KILLS" in os.environ
FEW = [KillPoint.AFTER_EFFECT, KillPoint.BEFORE_SETTLE, KillPoint.DURING_REDRIVE]
DATABASES = ["sqlite_url", "postgres_url", "mariadb_url"]


class World:
    """A database and a broker that outlive the processes that work on them."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.broker = url, folder / "broker"
        self.broker.touch()
        self.counted: dict[str, int] = {}
        self.killed_at: list[str] = []

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.relay.child", self.url, str(self.broker)]
        return subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def run_until_killed_at(self, point: KillPoint, passes: int) -> None:
        with self.start(point.name, str(passes)) as child:
            output, errors = child.communicate(timeout=60)
        self._take_in(output, errors)

    def run_and_kill(self, chance: random.Random) -> None:
        """Kill a process somewhere behind a randomly chosen line of its output."""
        with self.start() as child:
            assert child.stdout is not None
            lines: list[str] = []
            for _ in range(chance.randint(1, 8)):
                lines.append(child.stdout.readline())  # noqa: PERF401
            for _ in range(chance.randrange(300_000)):  # somewhere inside what follows
                pass
            child.kill()
            output, errors = child.communicate(timeout=60)
        self._take_in("".join([*lines, output]), errors)

    def run_to_completion(self) -> None:
        with self.start() as child:
            output, errors = child.communicate(timeout=100)
        self._take_in(output, errors)
        assert child.returncode == 0, errors
        assert output.endswith("done\n"), (output, errors)

    def _take_in(self, output: str, errors: str) -> None:
        assert "started" in output or not output, (output, errors)
        for line in output.splitlines():
            match line.split():
                case ["counted", key, number]:
                    self.counted[key] = max(int(number), self.counted.get(key, 0))
                case ["killed", point]:
                    self.killed_at.append(point)
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
        world.run_until_killed_at(point, passes=1 + chance.randrange(2))
        acknowledged = dict(world.counted)
        await check_counters(world, acknowledged)
    for _ in range(RANDOM_KILLS):
        world.run_and_kill(chance)
        await check_counters(world, dict(world.counted))
    world.run_to_completion()
    assert world.killed_at == [point.name for point in points]
    await check_all(world)


async def check_counters(world: World, acknowledged: dict[str, int]) -> None:
    """What was reported as counted is counted."""
    shop = await open_shop(world.url, FileBroker(world.broker))
    async with shop.uow() as uow:
        for key, number in acknowledged.items():
            assert (await uow.counters.require(key)).count >= number
        engine = uow.engine
    await engine.dispose()


async def check_all(world: World) -> None:
    shop = await open_shop(world.url, FileBroker(world.broker))
    async with shop.uow() as uow:
        for key in KEYS:
            assert (await uow.counters.require(key)).count == NUMBERS
            assert (await uow.ledgers.require(key)).seen == list(range(NUMBERS))
        engine = uow.engine
    statistics = await shop.storage.statistics()
    await engine.dispose()
    assert (statistics.waiting, statistics.parked, statistics.dead_letters) == (0, 0, 0)
    assert arrived(world.broker) == {f"Counter_/{key}": list(range(NUMBERS)) for key in KEYS}
