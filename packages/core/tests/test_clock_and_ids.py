"""Time and ids: the machine's own, or those a test owns."""

import asyncio
import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cqrs_ddd_core import (
    Clock,
    IIDGenerator,
    SystemClock,
    UUID7Generator,
    current_clock,
    new_id,
    use_clock,
    use_ids,
    utc_now,
)
from cqrs_ddd_core.primitives.clock import as_utc
from cqrs_ddd_core.testing import ManualClock, SequentialIds, until


def test_the_systems_clock_tells_the_time_in_utc() -> None:
    before = datetime.now(UTC)
    now = utc_now()
    assert before <= now <= datetime.now(UTC)
    assert now.tzinfo is UTC


def test_the_systems_clock_measures_by_the_monotonic_clock() -> None:
    before = time.monotonic()
    assert before <= SystemClock().monotonic() <= time.monotonic()


def test_a_clock_is_in_force_inside_its_block_only() -> None:
    outer, inner = ManualClock(), ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
    with use_clock(outer):
        with use_clock(inner):
            assert utc_now() == inner.now()
        assert current_clock() is outer
    assert isinstance(current_clock(), SystemClock)


def test_a_manual_clock_moves_only_when_told_to() -> None:
    clock = ManualClock()
    start = clock.now()
    clock.advance(1.5)
    assert clock.now() - start == timedelta(seconds=1.5)
    assert clock.monotonic() == 1.5


async def test_a_manual_clock_wakes_whose_time_has_come() -> None:
    clock = ManualClock()
    short, long = (asyncio.create_task(clock.sleep(seconds)) for seconds in (1, 2.5))
    await until(lambda: clock.alarms == [1, 2.5])
    clock.advance(1.5)
    await short
    assert clock.alarms == [2.5]
    assert not long.done()
    long.cancel()
    await asyncio.wait([long])
    assert clock.alarms == []
    await clock.sleep(0)


async def test_the_systems_clock_waits() -> None:
    before = time.monotonic()
    await SystemClock().sleep(0.01)
    assert time.monotonic() >= before + 0.01


async def test_a_clock_reaches_the_tasks_begun_inside_its_block() -> None:
    async def tell() -> datetime:
        return utc_now()

    clock = ManualClock()
    with use_clock(clock):
        task = asyncio.create_task(tell())
    assert await task == clock.now()


@given(
    st.datetimes(
        min_value=datetime(1970, 1, 1),  # noqa: DTZ001
        max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    ),
    st.integers(-12, 14),
)
def test_every_moment_becomes_the_same_moment_in_utc(naive: datetime, hours: int) -> None:
    aware = naive.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert as_utc(aware) == aware
    assert as_utc(aware).utcoffset() == timedelta(0)
    assert as_utc(naive) == naive.replace(tzinfo=UTC)


def test_ids_are_uuids_of_version_7_that_tell_their_time() -> None:
    before = time.time_ns() // 1_000_000
    found = UUID(new_id())
    after = time.time_ns() // 1_000_000
    assert (found.version, found.variant) == (7, RFC_4122)
    assert before <= found.int >> 80 <= after
    assert str(found) == str(found).lower()


def test_ids_are_never_the_same() -> None:
    generator = UUID7Generator()
    assert len({generator.next_id() for _ in range(10_000)}) == 10_000


def test_ids_stay_unique_in_a_program_that_seeds_its_random_numbers() -> None:
    ids: set[str] = set()
    for _ in range(1000):
        random.seed(42)
        ids.add(new_id())
    assert len(ids) == 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_ids_of_a_forked_process_are_its_own() -> None:
    program = (
        "import os, sys\n"
        "from cqrs_ddd_core import new_id\n"
        "sys.stdout.flush()\n"
        "parent = os.fork()\n"
        "os.write(1, (' '.join(new_id()[14:] for _ in range(50)) + ' ').encode())\n"
        "parent and os.wait()\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    random_parts = finished.stdout.split()
    assert len(random_parts) == len(set(random_parts)) == 100


def test_ids_of_later_milliseconds_sort_behind() -> None:
    first = new_id()
    before = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 <= before:
        pass
    assert first < new_id()


def test_a_generator_is_in_force_inside_its_block_only() -> None:
    with use_ids(SequentialIds("outer")):
        with use_ids(SequentialIds("inner")):
            assert (new_id(), new_id()) == ("inner-1", "inner-2")
        assert new_id() == "outer-1"
    assert UUID(new_id()).version == 7


def test_clocks_and_generators_meet_their_protocols() -> None:
    assert isinstance(SystemClock(), Clock)
    assert isinstance(ManualClock(), Clock)
    assert isinstance(UUID7Generator(), IIDGenerator)
    assert isinstance(SequentialIds(), IIDGenerator)
