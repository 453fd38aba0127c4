"""The feed loses nothing and inverts nothing, in races of transactions of every shape.

``CQRS_FEED_RACE_TRANSACTIONS`` is how many each writer tries (20); ``CQRS_FEED_RACE_SEED`` repeats
the choices of an earlier race.
"""

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from .conftest import opened
from .feed_race import (
    HELD_STREAM,
    SEED,
    Race,
    Reader,
    follow_naively,
    follow_the_feed,
    open_race,
    run,
)

DATABASES = {"postgres_url": 14, "postgres_psycopg_url": 12, "mariadb_url": 12, "sqlite_url": 4}


@pytest.fixture(params=DATABASES)
async def race(request: pytest.FixtureRequest) -> AsyncIterator[Race]:
    writers = DATABASES[request.param]
    async with opened(request.getfixturevalue(request.param), pool_size=writers + 8) as sql:
        yield await open_race(sql, writers)


async def test_nothing_is_lost_or_inverted_in_any_shape_of_transaction(race: Race) -> None:
    readers = [Reader(f"reader {number}") for number in range(3)]
    truth = await run(race, [(reader, follow_the_feed) for reader in readers])
    print(f"seed {SEED}: {len(truth)} events, {dict(race.done)}")  # noqa: T201 - to repeat it
    for reader in readers:
        assert reader.faults(truth) == Counter(), f"{reader.name}, seed {SEED}, {race.done}"
    replay = Reader("replay")
    replay.take([event async for event in race.store.read_all()])
    assert replay.told == readers[0].told == readers[1].told == readers[2].told
    assert replay.positions == list(range(1, len(truth) + 1))
    assert len(race.done) > 5, race.done


@pytest.mark.parametrize("race", ["postgres_url", "mariadb_url"], indirect=True)
async def test_the_same_race_catches_a_reader_that_trusts_in_ids(race: Race) -> None:
    naive, sound = Reader("naive"), Reader("sound")
    truth = await run(race, [(naive, follow_naively), (sound, follow_the_feed)])
    print(f"seed {SEED}: {naive.faults(truth)} of {len(truth)} events")  # noqa: T201 - the same
    assert naive.faults(truth)["lost"] >= 2
    assert {(HELD_STREAM.aggregate_id, 1), (HELD_STREAM.aggregate_id, 2)} <= truth - set(naive.told)
    assert sound.faults(truth) == Counter()


def test_the_judge_sees_every_kind_of_fault() -> None:
    truth = {("a", 1), ("a", 2), ("b", 1)}
    reader = Reader("r", told=[("a", 2), ("a", 1), ("a", 1), ("c", 1)], positions=[1, 2, 2, 3])
    assert reader.faults(truth) == Counter(lost=1, invented=1, doubled=1, inverted=2, astray=1)
    reader = Reader("r", told=[("a", 1), ("b", 1), ("a", 2)], positions=[1, 2, 3])
    assert reader.faults(truth) == Counter()
