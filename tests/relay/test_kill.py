"""Killed at any step, again and again: nothing is lost, effects are once, order per key holds.

``CQRS_TEST_KILLS`` says how many random kills there are on each database (1 by default, and
MariaDB, where the steps are the same as on PostgreSQL, is spared some), ``CQRS_TEST_SEED`` repeats
a run.
"""

from pathlib import Path

import pytest

from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyOutboxStorage,
    create_engine,
    create_session_factory,
)
from tests.killing import IS_LONG_RUN, Child, KilledWorld, chance_of, random_kills
from tests.relay.child import KEYS, KillPoint, work
from tests.relay.shop import FileBroker, arrived, open_shop

FEW = [KillPoint.AFTER_EFFECT, KillPoint.BEFORE_SETTLE, KillPoint.DURING_REDRIVE]
DATABASES = ["sqlite_url", "postgres_url", "mariadb_url"]


class World(KilledWorld):
    """A database and a broker that outlive the processes that work on them."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__()
        self.url, self.broker = url, folder / "broker"
        self.broker.touch()

    def start(self, point: str = "", passes: int = 0, *, ends: bool = True) -> Child:
        return Child(work, self.url, self.broker, self.numbers, point, passes, ends=ends)

    async def end_lease(self, relay_id: int) -> None:
        engine = create_engine(self.url)
        await SQLAlchemyOutboxStorage(create_session_factory(engine)).leave(relay_id)
        await engine.dispose()

    async def check_what_was_acknowledged(self) -> None:
        shop = await open_shop(self.url, FileBroker(self.broker))
        async with shop.uow() as uow:
            for key, number in self.counted.items():
                assert (await uow.counters.require(key)).count >= number
            engine = uow.engine
        await engine.dispose()


@pytest.mark.timeout(7200 if IS_LONG_RUN else 600)
@pytest.mark.parametrize("database", DATABASES)
async def test_nothing_is_lost_or_doubled_or_out_of_order_wherever_the_process_is_killed(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    chance = chance_of(database)
    world = World(request.getfixturevalue(database), tmp_path)
    points = FEW if database == "mariadb_url" and not IS_LONG_RUN else list(KillPoint)
    for point in points:
        await world.run_until_killed_at(point, lambda at=point: at.passes(chance))
    kills = random_kills(ordinarily=1)
    for _ in range(kills):
        await world.run_and_kill(chance)
    world.run_to_completion()
    assert world.kills == len(points) + kills
    await check_all(world)


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
