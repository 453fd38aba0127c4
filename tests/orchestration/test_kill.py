"""Killed at any step, again and again: a saga is done or undone, each effect under one key.

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
from sqlalchemy import update

from cqrs_ddd_advanced_core.sagas import SagaStatus
from cqrs_ddd_persistence_sqlalchemy import SQLAlchemySagaRepository
from tests.killing import Child
from tests.orchestration.child import KillPoint, work
from tests.orchestration.shop import Shop, calls_in

RANDOM_KILLS = int(os.environ.get("CQRS_TEST_KILLS", "1"))
IS_LONG_RUN = "CQRS_TEST_KILLS" in os.environ
TRIES = 10
FEW = [KillPoint.ACTED, KillPoint.TURNED_BACK, KillPoint.UNDONE, KillPoint.CONFIRMING]
STEP = 1  # each process has so many new sagas of each sort to run
DATABASES = ["sqlite_url", "postgres_url", "mariadb_url"]
DONE = {
    "ship-order-paid": ["act reserve", "act label", "act book", "act charge", "act send"],
    "book-trip-paid": ["try flight", "try hotel", "confirm flight", "confirm hotel"],
}


class World:
    """A database and the effects in it, which outlive the processes that work on them."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.calls = url, folder / "calls"
        self.calls.touch()
        self.number = 0
        self.added: set[str] = set()
        self.killed_at: list[str] = []
        self.kills = 0

    def run_until_killed_at(self, point: KillPoint, passes: int) -> None:
        self.number += STEP
        with Child(work, self.url, self.calls, self.number, point.name, passes) as child:
            self._take_in(child.wait())

    def run_and_kill(self, chance: random.Random) -> None:
        """Kill a process somewhere behind a randomly chosen line of its output."""
        self.number += STEP
        with Child(work, self.url, self.calls, self.number) as child:
            for _ in range(chance.randint(1, 4)):
                child.next_line()
            for _ in range(chance.randrange(300_000)):  # somewhere inside what follows
                pass
            child.kill()
            self._take_in(child.wait())
        self.kills += 1

    def run_to_completion(self) -> None:
        with Child(work, self.url, self.calls, self.number) as child:
            lines = child.wait()
            assert lines[-1] == "done", lines
            self._take_in(lines)

    def _take_in(self, lines: list[str]) -> None:
        for line in lines:
            match line.split():
                case ["added", saga_id]:
                    self.added.add(saga_id)
                case ["killed", point]:
                    self.killed_at.append(point)
                    self.kills += 1
                case ["failed", *_]:
                    pytest.fail(line)
                case _:
                    pass

    async def end_leases(self) -> None:
        """Let the next process begin at once: who held a lease is dead."""
        shop = Shop(self.url, self.calls, SQLAlchemySagaRepository)
        await shop.create_schema()
        async with shop.engine.begin() as connection:
            await connection.execute(update(shop.sagas.tables[0]).values(lease_until=None))
        await shop.engine.dispose()


@pytest.mark.timeout(7200 if IS_LONG_RUN else 600)
@pytest.mark.parametrize("database", DATABASES)
async def test_a_saga_is_done_or_undone_wherever_its_process_is_killed(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    seed = os.environ.get("CQRS_TEST_SEED") or secrets.token_hex(4)
    sys.stdout.write(f"CQRS_TEST_SEED={seed}\n")
    chance = random.Random(f"{seed} {database}")
    world = World(request.getfixturevalue(database), tmp_path)
    points = FEW if database == "mariadb_url" and not IS_LONG_RUN else list(KillPoint)
    for point in points:
        for _ in range(TRIES):
            world.run_until_killed_at(point, passes=1 + chance.randrange(2))
            await world.end_leases()
            if world.killed_at[-1:] == [point.name]:
                break
    for _ in range(RANDOM_KILLS):
        world.run_and_kill(chance)
        await world.end_leases()
    world.run_to_completion()
    assert world.killed_at == [point.name for point in points]
    await check_all(world)


async def check_all(world: World) -> None:
    shop = Shop(world.url, world.calls, SQLAlchemySagaRepository)
    sagas = {saga.saga_id: saga for saga in await shop.sagas.search(limit=1000)}
    effects = await shop.effects()
    await shop.engine.dispose()
    assert set(sagas) >= world.added
    assert len(sagas) == 4 * world.number
    assert all(len(keys) == 1 for keys in effects.values()), "an action has one key"
    again = sum(times - 1 for keys in effects.values() for times in keys)
    assert again <= 2 * 4 * world.kills, "only what a kill has left in doubt is done again"
    once = [keys for what, keys in effects.items() if what.endswith(" reserve")]
    assert once
    assert all(keys == [1] for keys in once), "an effect that commits with its step is once"
    for saga_id, calls in calls_in(world.calls).items():
        check(saga_id, sagas[saga_id].status, calls, set(effects))


def check(saga_id: str, status: SagaStatus, calls: list[str], effects: set[str]) -> None:
    sort = saga_id.rsplit("-", 1)[0]
    of_saga = {
        what.removeprefix(f"{saga_id} ") for what in effects if what.startswith(f"{saga_id} ")
    }
    if sort in DONE:
        assert (status, of_saga) == (SagaStatus.COMPLETED, set(DONE[sort])), saga_id
        return
    assert status is SagaStatus.COMPENSATED, saga_id
    forward = {what.split(" ", 1)[1] for what in of_saga if what.startswith(("act ", "try "))}
    back = {
        what.split(" ", 1)[1] for what in of_saga if what.startswith(("compensate ", "cancel "))
    }
    assert forward <= back, f"a compensation of {saga_id} is forgotten"
    assert not [what for what in of_saga if what.startswith("confirm ")]
    turned = next(at for at, what in enumerate(calls) if what.startswith(("compensate", "cancel")))
    assert all(what.startswith(("compensate", "cancel")) for what in calls[turned:]), calls
