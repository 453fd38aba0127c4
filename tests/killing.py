"""Processes to be killed, forked from one that has imported everything: a start costs little."""

import multiprocessing
import os
import random
import secrets
import signal
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from multiprocessing.connection import Connection
from typing import Any, Self

LONG = 120.0  # seconds; a loaded machine is slow
STEP = 8  # each process counts so much further for each key, if it gets there
IS_LONG_RUN = "CQRS_TEST_KILLS" in os.environ
_TRIES = 10

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "__main__",
        "tests.relay.child",
        "tests.delivery.child",
        "tests.delivery.relaying",
        "tests.projections.child",
        "tests.sagas.child",
        "tests.orchestration.child",
        "tests.relay.racing",
    ]
)
_parent: list[Connection] = []


def tell(line: str) -> None:
    """In a child: report a line, which is out before the process can be killed."""
    _parent[0].send_bytes(line.encode())


class Trap:
    """Ends its process when a point is passed for the n-th time; never, without a point."""

    def __init__(self, point: str = "", passes: int = 0) -> None:
        self.point, self.passes = point, passes

    def passed(self, point: Enum) -> None:
        """Say that a point has been reached."""
        if point.name == self.point:
            self.passes -= 1
            if self.passes <= 0:
                tell(f"killed {point.name}")
                os.kill(os.getpid(), signal.SIGKILL)


def chance_of(name: str) -> random.Random:
    """Return the choices of a run, which ``CQRS_TEST_SEED`` repeats; its seed is printed."""
    seed = os.environ.get("CQRS_TEST_SEED") or secrets.token_hex(4)
    sys.stdout.write(f"CQRS_TEST_SEED={seed}\n")
    return random.Random(f"{seed} {name}")


def random_kills(ordinarily: int) -> int:
    """Return how many kills at random there are; ``CQRS_TEST_KILLS`` says otherwise."""
    return int(os.environ.get("CQRS_TEST_KILLS", ordinarily))


class Child:
    """A process that does some work and reports lines; at the end of the block it is no more.

    Args:
        work: a function of a module, run in the process.
        *arguments: given to it.
        **options: given to it, too.
    """

    def __init__(self, work: Callable[..., None], *arguments: Any, **options: Any) -> None:
        self._reader, writer = _context.Pipe(duplex=False)
        self._process = _context.Process(
            target=_run, args=(writer, work, arguments, options), daemon=True
        )
        self._process.start()
        writer.close()
        self.lines: list[str] = []

    @property
    def was_killed(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process.exitcode == -signal.SIGKILL

    def next_line(self) -> str | None:
        """Wait for a line and return it; None when the process has ended."""
        if not self._reader.poll(LONG):
            raise TimeoutError(self.lines)
        try:
            self.lines.append(self._reader.recv_bytes().decode())
        except EOFError:
            return None
        return self.lines[-1]

    def has_reported(self, line: str) -> bool:
        """Whether a line is among those that have come by now."""
        while self._reader.poll() and self.next_line() is not None:
            pass
        return line in self.lines

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def kill(self) -> None:
        """Kill it, wherever it is."""
        self._process.kill()

    def wait(self) -> list[str]:
        """Wait for its end and return all that it has reported."""
        while self.next_line() is not None:
            pass
        self._process.join(LONG)
        return self.lines

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._reader.close()
        sys.stdout.write("\n".join(self.lines[-20:]) + "\n")


class KilledWorld(ABC):
    """What outlives processes that count, and what they have reported before they were killed.

    Attributes:
        numbers: how far the latest process was to count.
        counted: the highest number that was reported as counted, by key.
        kills: how many processes were killed.
        idle: how many of them had nothing left to do.
    """

    def __init__(self) -> None:
        self.numbers = self.kills = self.idle = 0
        self.counted: dict[str, int] = {}
        self._relays: list[int] = []

    @abstractmethod
    def start(self, point: str = "", passes: int = 0, *, ends: bool = True) -> Child:
        """Start a process that is killed at a point, or reports ``idle`` and waits, or ends."""

    @abstractmethod
    async def check_what_was_acknowledged(self) -> None:
        """Compare what is there with ``counted``."""

    @abstractmethod
    async def end_lease(self, relay_id: int) -> None:
        """Let the next process begin without a wait for the end of a lease."""

    async def run_until_killed_at(self, point: Enum, passes: Callable[[], int]) -> None:
        """Have processes come to a point until one is killed there."""
        for _ in range(_TRIES):  # one may be through with its work before the point
            self.numbers += STEP
            with self.start(point.name, passes()) as child:
                self._take_in(child)
            await self.check_what_was_acknowledged()
            while self._relays:
                await self.end_lease(self._relays.pop())
            if child.lines[-1] == f"killed {point.name}":
                return
        raise AssertionError(f"No process was killed {point.value}.")

    async def run_and_kill(self, chance: random.Random) -> None:
        """Kill a process somewhere behind a line of its output; its lease runs on."""
        self.numbers += STEP
        with self.start(ends=False) as child:
            for _ in range(chance.randint(1, 3 * STEP)):
                if child.next_line() == "idle":
                    break
            for _ in range(chance.randrange(300_000)):  # somewhere inside what follows
                pass
            child.kill()
            self._take_in(child)
            assert child.was_killed, child.lines
        await self.check_what_was_acknowledged()

    def run_to_completion(self) -> None:
        """Have a process end by itself."""
        with self.start() as child:
            self._take_in(child)
            assert child.lines[-1] == "done", child.lines

    def _take_in(self, child: Child) -> None:
        for line in child.wait():
            match line.split():
                case ["counted", key, number]:
                    self.counted[key] = max(int(number), self.counted.get(key, 0))
                case ["relay", relay_id]:
                    self._relays.append(int(relay_id))
                case ["idle"]:
                    self.idle += 1
                case ["failed", *_]:
                    raise AssertionError(line)
                case _:
                    pass
        self.kills += child.was_killed


def _run(
    writer: Connection,
    work: Callable[..., None],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> None:
    _parent[:] = [writer]
    try:
        work(*arguments, **options)
        tell("done")
    except BaseException:
        tell(f"failed {traceback.format_exc()}")
        raise
    finally:
        os._exit(0)  # what is still open needs no tidy end
