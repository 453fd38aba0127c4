"""Workers killed at any step, again and again: every event counts once, so does its side effect.

``CQRS_TEST_KILLS`` has every point on every database, so many times over (else some points once);
``CQRS_TEST_SEED`` repeats a run.
"""

import os
import random
import secrets
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, select

from cqrs_ddd_core import VersionState
from tests.projections.child import KillPoint
from tests.projections.shop import CUSTOMERS, EFFECTS, NAME, PARTITIONS, Shop, append, open_shop

ROOT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("CQRS_TEST_KILLS", "1"))
IS_LONG_RUN = "CQRS_TEST_KILLS" in os.environ
BATCHES = [KillPoint.CHECKPOINT_MOVED, KillPoint.READ_MODEL_WRITTEN]
REBUILD = [point for point in KillPoint if point not in BATCHES]
FEW = {
    "sqlite_url": [KillPoint.READ_MODEL_WRITTEN],
    "postgres_url": [KillPoint.READ_MODEL_WRITTEN, KillPoint.SWITCH_PLANNED],
    "mariadb_url": [KillPoint.VIEWS_SWITCHED],
}


def start(url: str, versions: int, *trap: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.projections.child", url, str(versions), *trap],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def kill_at(url: str, versions: int, point: KillPoint, passes: int) -> None:
    with start(url, versions, point.name, str(passes)) as child:
        output, errors = child.communicate(timeout=100)
    assert f"killed {point.name}" in output, (output[-500:], errors)


def run_to_completion(url: str, versions: int) -> None:
    with start(url, versions) as child:
        output, errors = child.communicate(timeout=110)
    assert output.endswith("done\n"), (output[-500:], errors)


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
@pytest.mark.parametrize("database", list(FEW))
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
    for _ in range(ROUNDS):
        for points, is_rebuild in ((BATCHES, False), (REBUILD, True)):
            new = orders(200, chance)
            await append(shop, new)
            placed += new
            if is_rebuild:
                if IS_LONG_RUN:  # the new version has all to catch up with
                    run_to_completion(url, versions)
                versions += 1
                await shop.storage.rebuild(NAME, partitions=chance.choice([None, 3]))
            chosen = points if IS_LONG_RUN else [p for p in points if p in FEW[database]]
            for point in chosen:
                many = point in BATCHES
                kill_at(url, versions, point, 1 + chance.randrange(3) if many else 1)
            if is_rebuild:
                run_to_completion(url, versions)
    await check(shop, placed, versions)
    await shop.engine.dispose()


@pytest.mark.timeout(600)
async def test_four_workers_share_a_projection_and_one_is_killed_at_random(
    postgres_url: str,
) -> None:
    seed = os.environ.get("CQRS_TEST_SEED") or secrets.token_hex(4)
    sys.stdout.write(f"CQRS_TEST_SEED={seed}\n")
    chance = random.Random(seed)
    shop = await open_shop(postgres_url)
    await shop.storage.declare(NAME, revision=1, partitions=PARTITIONS, position=0)
    placed = orders(1000 * ROUNDS, chance)
    await append(shop, placed)
    children = [start(postgres_url, 1) for _ in range(4)]
    victim = children.pop(chance.randrange(4))
    with victim:
        assert victim.stdout is not None
        for _ in range(chance.randint(1, 5)):
            victim.stdout.readline()
        victim.kill()
        victim.communicate(timeout=60)
    for child in children:
        with child:
            output, errors = child.communicate(timeout=110)
        assert output.endswith("done\n"), (output[-500:], errors)
    await check(shop, placed, 1)
    await shop.engine.dispose()
