"""A worker as a process of its own: signals, deadlines, exit codes, in a real child process."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cqrs_ddd_core import ConfigurationError, ExitCode, RetryPolicy, Worker
from cqrs_ddd_core.testing import until

from .workers import Part, fails_with, wait

CHILD = """
import asyncio, logging, sys, time
sys.path.insert(0, sys.argv[1])
from workers import Part
from cqrs_ddd_core import ConfigurationError, Worker

def say(text):
    print(text, flush=True)

async def drains(stopping):
    say("ready")
    await stopping.wait()
    say("draining")
    await asyncio.sleep(0)
    say("drained")

async def hangs(stopping):
    say("ready")
    await stopping.wait()
    say("draining")
    try:
        await asyncio.Event().wait()
    finally:
        say("released")

async def will_not_go(stopping):
    say("ready")
    await stopping.wait()
    say("draining")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("ignored")

async def blocks(stopping):
    say("ready")
    while True:
        time.sleep(0.01)

async def is_wired_wrongly(stopping):
    raise ConfigurationError("There is no queue.")

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
worker = Worker([Part("relay", globals()[sys.argv[2]])], drain_timeout=float(sys.argv[3]))
sys.exit(worker.run())
"""


class Child:
    """A worker in a process of its own, and what it says."""

    def __init__(self, process: "subprocess.Popen[str]", stderr: Path) -> None:
        self._process, self._stderr = process, stderr

    def says(self, text: str) -> None:
        """Wait for its next line."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == text

    def gets(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def ends(self) -> int:
        """Wait for its end, with nothing more said on the way."""
        assert self._process.stdout is not None
        assert self._process.stdout.read() == ""
        return self._process.wait()

    @property
    def log(self) -> str:
        return self._stderr.read_text(encoding="utf-8")


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Starts a worker whose only part does what is named; ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(does: str, drain_timeout: float = 3600) -> Child:
        stderr = tmp_path / "stderr.txt"
        here = str(Path(__file__).parent)
        with stderr.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", CHILD, here, does, str(drain_timeout)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        started.append(process)
        return Child(process, stderr)

    try:
        yield start
    finally:
        for process in started:
            with process:
                process.kill()


Start = Callable[..., Child]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_has_it_finish_what_is_under_way(
    child: Start, number: signal.Signals
) -> None:
    worker = child("drains")
    worker.says("ready")
    worker.gets(number)
    worker.says("draining")
    worker.says("drained")
    assert worker.ends() == ExitCode.OK
    assert "finishing what is under way" in worker.log
    assert "Traceback" not in worker.log


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_has_it_leave_at_once_and_release_what_it_holds(
    child: Start, second: signal.Signals
) -> None:
    worker = child("hangs")
    worker.says("ready")
    worker.gets(signal.SIGTERM)
    worker.says("draining")
    worker.gets(second)
    worker.says("released")
    assert worker.ends() == 128 + second
    assert "leaving at once" in worker.log


def test_the_third_signal_ends_even_a_part_that_will_not_go(child: Start) -> None:
    worker = child("will_not_go")
    worker.says("ready")
    worker.gets(signal.SIGTERM)
    worker.says("draining")
    worker.gets(signal.SIGTERM)
    worker.says("ignored")
    worker.gets(signal.SIGTERM)
    assert worker.ends() == -signal.SIGTERM


def test_signals_end_it_also_when_its_event_loop_is_blocked(child: Start) -> None:
    worker = child("blocks")
    worker.says("ready")
    while not worker.has_ended:  # one may be merged with the one before it
        worker.gets(signal.SIGTERM)
        os.sched_yield()
    assert worker.ends() == -signal.SIGTERM


def test_a_part_that_is_not_ready_at_the_deadline_is_cut_off_and_the_exit_code_says_so(
    child: Start,
) -> None:
    worker = child("hangs", drain_timeout=0.01)
    worker.says("ready")
    worker.gets(signal.SIGTERM)
    worker.says("draining")
    worker.says("released")
    assert worker.ends() == ExitCode.FAILED
    assert "relay did not finish in time and is cut off" in worker.log


def test_a_mistake_in_the_wiring_ends_it_with_a_code_of_its_own(child: Start) -> None:
    worker = child("is_wired_wrongly")
    assert worker.ends() == ExitCode.CONFIGURATION
    assert "ConfigurationError: There is no queue." in worker.log
    assert "Traceback" not in worker.log


class TestInThisProcess:
    @staticmethod
    @contextmanager
    def handlers_are_as_before() -> Generator[None]:
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.getsignal(number) for number in numbers]
        yield
        assert [signal.getsignal(number) for number in numbers] == before

    async def test_no_signal_handler_is_left_behind(self) -> None:
        part = Part("relay", wait)

        async def send_signal() -> None:
            await until(lambda: part.runs)
            os.kill(os.getpid(), signal.SIGTERM)

        with self.handlers_are_as_before():
            sending = asyncio.create_task(send_signal())
            assert await Worker([part]).serve() == ExitCode.OK
            await sending

    async def test_inside_an_application_the_signals_are_the_applications(self) -> None:
        with self.handlers_are_as_before():
            async with Worker([Part("relay")]):
                with self.handlers_are_as_before():
                    pass

    def test_a_worker_that_gave_up_ends_with_failure(self) -> None:
        policy = RetryPolicy(max_attempts=2, base_delay=0)
        assert Worker([Part("relay", fails_with(OSError()))], restart=policy).run() == 1

    def test_it_runs_in_another_thread_without_signals(self) -> None:
        codes: list[int] = []
        worker = Worker([Part("relay", fails_with(ConfigurationError("wrong")))])
        thread = threading.Thread(target=lambda: codes.append(worker.run()))
        thread.start()
        thread.join()
        assert codes == [ExitCode.CONFIGURATION]
