"""A worker's status seen from outside: in a file that grows old when the process hangs."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from cqrs_ddd_core import ConfigurationError, Progress, Worker, use_clock
from cqrs_ddd_core.runtime import health_file, read_health
from cqrs_ddd_core.testing import ManualClock, until


class Part:
    name = "relay"

    def __init__(self) -> None:
        self.progress = Progress(stall_after=10)

    async def run(self, stopping: asyncio.Event) -> None:
        self.progress.idle()
        await stopping.wait()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worker.json"


async def test_the_file_tells_how_the_worker_is_and_goes_with_it(path: Path) -> None:
    part, clock = Part(), ManualClock()
    worker = Worker([part])
    with use_clock(clock):
        async with worker, health_file(worker, path, every=2):
            await until(lambda: worker.status().healthy)
            await _beats(clock, path)
            assert read_health(path).problem is None
            part.progress.trouble(ConnectionError("no broker"))
            await _beats(clock, path)
            problem = read_health(path).problem
            assert problem == "relay is running (ConnectionError: no broker)"
            assert read_health(path, only_alive=True).problem is None
            assert _names_beside(path) == [path.name]
        assert "There is no health file" in str(read_health(path).problem)


async def test_a_stalled_part_is_not_even_alive(path: Path) -> None:
    part, clock = Part(), ManualClock()
    worker = Worker([part])
    with use_clock(clock):
        async with worker, health_file(worker, path, every=2):
            await until(lambda: worker.status().healthy)
            part.progress.busy()
            for _ in range(6):
                await _beats(clock, path)
            for only_alive in (False, True):
                problem = read_health(path, only_alive=only_alive).problem
                assert problem == "relay is running, without a step for 12 s"


async def test_a_file_that_is_not_renewed_tells_of_a_process_that_hangs(path: Path) -> None:
    clock = ManualClock()
    worker = Worker([Part()])
    with use_clock(clock):
        async with worker:
            await until(lambda: worker.status().healthy)
            async with health_file(worker, path):
                leave = _copied(path)
        leave()  # as a process leaves it that is killed
        assert read_health(path, max_age=30).problem is None
        clock.advance(31)
        assert read_health(path, max_age=30).problem == (
            "The health file is 31 s old: the worker was killed, or hangs."
        )
        assert read_health(path, max_age=60).problem is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"written_at": 5, "parts": []}'])
def test_any_other_file_is_a_problem(path: Path, content: str) -> None:
    path.write_text(content)
    assert "is no health file that can be read" in str(read_health(path).problem)


async def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    worker = Worker([Part()])
    with pytest.raises(ConfigurationError, match="folder that exists"):
        async with health_file(worker, tmp_path / "nowhere" / "worker.json"):
            pass


async def test_a_disk_that_fills_up_stops_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, worker = ManualClock(), Worker([Part()])
    with use_clock(clock):
        async with worker, health_file(worker, path, every=2):
            _make_folder_of(path)  # nothing can take its place
            await until(lambda: clock.monotonic() + 2 in clock.alarms)
            clock.advance(2)
            await until(lambda: "cannot be written" in caplog.text)
            _make_file_of(path)
            await _beats(clock, path)


def _names_beside(path: Path) -> list[str]:
    return [file.name for file in path.parent.iterdir()]


def _copied(path: Path) -> Callable[[], object]:
    content = path.read_text()
    return lambda: path.write_text(content)


def _make_folder_of(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _make_file_of(path: Path) -> None:
    path.rmdir()
    path.write_text('{"written_at": ""}')


async def _beats(clock: ManualClock, path: Path) -> None:
    await until(lambda: clock.monotonic() + 2 in clock.alarms)
    before = clock.now()
    clock.advance(2)

    def is_new() -> bool:
        return json.loads(path.read_text())["written_at"] > before.isoformat()

    await until(is_new)
    assert clock.now() - before == timedelta(seconds=2)
