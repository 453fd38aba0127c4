"""Workers killed at any step, again and again: every event counts once, so does its side effect.

``CQRS_TEST_KILLS`` has every point on every database, so many times over (else each point once);
``CQRS_TEST_SEED`` repeats a run.
"""

import os
import random
import secrets
import sys
from collections import Counter
from contextlib import ExitStack

import pytest
from sqlalchemy import Connection, inspect, select

from cqrs_ddd_core import VersionState
from tests.killing import Child
from tests.projections.child import KillPoint, work
from tests.projections.shop import CUSTOMERS, EFFECTS, NAME, PARTITIONS, Shop, append, open_shop

ROUNDS = int(os.environ.get("CQRS_TEST_KILLS", "1"))
IS_LONG_RUN = "CQRS_TEST_KILLS" in os.environ
POINTS = {
    "sqlite_url": [KillPoint.CHECKPOINT_MOVED, KillPoint.DURING_REBUILD, KillPoint.SWITCHED],
    "postgres_url": [
        KillPoint.READ_MODEL_WRITTEN,
        KillPoint.SWITCH_PLANNED,
        KillPoint.TABLES_DROPPED,
    ],
    "mariadb_url": [KillPoint.READ_MODEL_WRITTEN, KillPoint.VIEWS_SWITCHED],
}


def is_killed_at(url: str, versions: int, point: KillPoint, passes: int) -> bool:
    with Child(work, url, versions, point.name, passes) as child:
        return f"killed {point.name}" in child.wait()


def run_to_completion(url: str, versions: int) -> None:
    with Child(work, url, versions) as child:
        lines = child.wait()
    assert lines[-1] == "done", lines


def orders(count: int, chance: random.Random) -> list[tuple[str, int]]:
    return [(f"c-{chance.randrange(17)}", chance.randrange(100)) for _ in range(count)]


def _tables(connection: Connection) -> list[str]:
    return inspect(connection).get_table_names()


async def check(shop: Shop, placed: list[tuple[str, int]], versions: int) -> None:
    """Compare what is read, what took effect and what is left with the model."""
    counts, totals = Counter[str](), Counter[str]()
    for customer, amount in placed:
        counts[customer] += 1
        totals[customer] += amount
    async with shop.engine.connect() as connection:
        rows = (await connection.execute(select(CUSTOMERS))).all()
        effects = sorted((await connection.execute(select(EFFECTS.c.position))).scalars())
        tables = await connection.run_sync(_tables)
    assert {row.id: (row.orders, row.total) for row in rows} == {
        customer: (count, totals[customer]) for customer, count in counts.items()
    }
    assert effects == list(range(1, len(placed) + 1))
    assert [t for t in tables if t.startswith("customers_v")] == [f"customers_v{versions}"]
    known = await shop.storage.versions(NAME)
    assert [(v.version, v.state) for v in known] == [(versions, VersionState.LIVE)]


@pytest.mark.timeout(7200 if IS_LONG_RUN else 600)
@pytest.mark.parametrize("database", list(POINTS))
async def test_every_event_counts_once_wherever_the_worker_is_killed(
    database: str, request: pytest.FixtureRequest
) -> None:
    seed = os.environ.get("CQRS_TEST_SEED") or secrets.token_hex(4)
    sys.stdout.write(f"CQRS_TEST_SEED={seed}\n")
    chance = random.Random(f"{seed} {database}")
    url: str = request.getfixturevalue(database)
    shop = await open_shop(url)
    await shop.storage.declare(NAME, revision=1, partitions=PARTITIONS, position=0)
    placed: list[tuple[str, int]] = []
    versions = 1
    points = list(KillPoint if IS_LONG_RUN else POINTS[database]) * ROUNDS
    chance.shuffle(points)
    while points:
        new = orders(200, chance)
        await append(shop, new)
        placed += new
        if points[-1].is_of_a_rebuild:
            versions += 1
            await shop.storage.rebuild(NAME, partitions=chance.choice([None, 3]))
        # A process that was done before it came to the point leaves it to the next one.
        if is_killed_at(url, versions, points[-1], points[-1].passes(chance)):
            points.pop()
            run_to_completion(url, versions)
        await check(shop, placed, versions)
    await shop.engine.dispose()


@pytest.mark.timeout(7200 if IS_LONG_RUN else 600)
async def test_four_workers_share_a_projection_and_one_is_killed_at_random(
    postgres_url: str,
) -> None:
    seed = os.environ.get("CQRS_TEST_SEED") or secrets.token_hex(4)
    sys.stdout.write(f"CQRS_TEST_SEED={seed}\n")
    chance = random.Random(seed)
    shop = await open_shop(postgres_url)
    await shop.storage.declare(NAME, revision=1, partitions=PARTITIONS, position=0)
    placed: list[tuple[str, int]] = []
    kills = 0
    while kills < ROUNDS:
        new = orders(1000, chance)
        await append(shop, new)
        placed += new
        with ExitStack() as running:
            children = [running.enter_context(Child(work, postgres_url, 1)) for _ in range(4)]
            victim = children.pop(chance.randrange(4))
            for _ in range(chance.randint(2, 8)):
                victim.next_line()
            for _ in range(chance.randrange(100_000)):  # somewhere inside its next batch
                pass
            victim.kill()
            kills += "moved" in victim.wait() and victim.was_killed
            for child in children:
                assert child.wait()[-1] == "done", child.lines
        await check(shop, placed, 1)
    await shop.engine.dispose()
