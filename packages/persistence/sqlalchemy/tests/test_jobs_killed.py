"""Timers and jobs under kill -9 and beside other processes: none lost, none done twice."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cqrs_ddd_core.testing import until

from .job_shop import POINTS, opened

CHILD = str(Path(__file__).with_name("job_shop.py"))
LONG = bool(os.environ.get("CQRS_TEST_LONG"))
KILLED_ON = ["postgres_url", "sqlite_url", *(["mariadb_url"] if LONG else [])]
ROUNDS = 10 if LONG else 1
RACED_ON = ["postgres_url", *(["mariadb_url"] if LONG else [])]
PROCESSES, RACING = 4, 2000 if LONG else 200


def run_until_killed(url: str, point: str) -> int:
    command = [sys.executable, CHILD, url, "kill", point]
    return subprocess.run(command, timeout=120, check=False).returncode


def racer(url: str) -> "subprocess.Popen[str]":
    command = [sys.executable, CHILD, url, "race"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("url_fixture", KILLED_ON)
async def test_every_effect_happens_once_however_often_the_process_is_killed(
    url_fixture: str, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(url_fixture)
    async with opened(url) as shop:
        expected = await shop.schedule(15 * ROUNDS)
    for point in POINTS * ROUNDS:
        assert run_until_killed(url, point) == -signal.SIGKILL, point
    async with opened(url) as shop:
        assert len(await shop.effects()) < len(expected)  # they died in the middle of it
        async with shop.worker():
            await until(shop.is_done, timeout=120)
        assert await shop.effects() == expected


@pytest.mark.timeout(300)
@pytest.mark.parametrize("url_fixture", RACED_ON)
async def test_processes_that_claim_at_once_share_the_jobs(
    url_fixture: str, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(url_fixture)
    async with opened(url) as shop:
        jobs = [await shop.job_service.schedule("race") for _ in range(RACING)]
    children = [racer(url) for _ in range(PROCESSES)]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        ran = [child.communicate(timeout=200)[0].split() for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert Counter(sum(ran, list[str]())) == Counter(jobs)
    assert sum(bool(mine) for mine in ran) > 1  # they did work side by side
