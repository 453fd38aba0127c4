"""No course is overbooked, in races of transactions of every shape; the judge can tell.

``CQRS_ENROLMENT_RACE_TRANSACTIONS`` is how many each writer tries (12);
``CQRS_ENROLMENT_RACE_SEED`` repeats the choices of an earlier race.
"""

from collections import Counter
from collections.abc import AsyncGenerator

import pytest

from cqrs_ddd_core import StoredEvent, StreamId, utc_now
from cqrs_ddd_persistence_sqlalchemy.event_store import append

from .conftest import Sql, opened
from .enrolment_race import SEED, broken_rules, faults, open_enrolment_race

WRITERS = {"postgres_url": 16, "postgres_psycopg_url": 16, "sqlite_url": 6}


@pytest.fixture(params=WRITERS)
async def raced(request: pytest.FixtureRequest) -> AsyncGenerator[tuple[Sql, int]]:
    writers = WRITERS[request.param]
    url = request.getfixturevalue(request.param)
    async with opened(url, pool_size=writers + 4) as sql:
        yield sql, writers


async def test_no_rule_is_broken_in_any_shape_of_transaction(raced: tuple[Sql, int]) -> None:
    sql, writers = raced
    race = await open_enrolment_race(sql, writers)
    found = await race.run(writers)
    print(f"seed {SEED}: {dict(race.done)}")  # noqa: T201 - to repeat it
    assert found == Counter(), f"seed {SEED}, {race.done}"
    assert race.done["refused"] > 0 or sql.is_sqlite, race.done
    assert len(race.done) > 5, race.done


@pytest.mark.parametrize("raced", ["postgres_url"], indirect=True)
async def test_the_same_race_breaks_rules_that_are_checked_without_a_condition(
    raced: tuple[Sql, int],
) -> None:
    sql, writers = raced
    race = await open_enrolment_race(sql, writers, conditional=False)
    found = await race.run(writers)
    print(f"seed {SEED}: {dict(found)}")  # noqa: T201 - the same
    assert found["decided on other events"] >= 2
    assert found["overbooked"] >= 1


@pytest.mark.parametrize("raced", ["postgres_url"], indirect=True)
async def test_the_same_race_breaks_a_check_before_the_insert_that_holds_no_locks(
    raced: tuple[Sql, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sql, writers = raced
    monkeypatch.setattr(append, "enter", _take_no_locks)
    race = await open_enrolment_race(sql, writers)
    found = await race.run(writers)
    print(f"seed {SEED}: {dict(found)}")  # noqa: T201 - the same
    assert found["decided on other events"] >= 2


def _take_no_locks(*_: object) -> None: ...


def test_the_judge_sees_a_decision_that_did_not_know_everything() -> None:
    def subscribed(number: int, expected: int) -> StoredEvent:
        return StoredEvent(
            event_id=str(number),
            event_type="Subscribed",
            stream=StreamId("Subscribed", str(number)),
            payload=b'{"expected":%d,"items":[[["Subscribed"],["c"]],[[],["s:%d"]]]}'
            % (expected, number % 6),
            occurred_at=utc_now(),
            tags=("c", f"s:{number % 6}"),
        )

    sound = [subscribed(number, number) for number in range(5)]
    assert faults(sound) == Counter()
    assert faults([*sound, subscribed(5, 4)]) == {"overbooked": 1, "decided on other events": 1}
    assert broken_rules(sound, "c", "s:0") == ["overbooked", "double"]
