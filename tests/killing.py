"""Processes to be killed, forked from one that has imported everything: a start costs little."""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from enum import Enum
from multiprocessing.connection import Connection
from typing import Any, Self

LONG = 120.0  # seconds; a loaded machine is slow

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


class Child:
    """A process that does some work and reports lines; at the end of the block it is no more.

    Args:
        work: a function of a module, run in the process.
        *arguments: given to it.
    """

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        self._reader, writer = _context.Pipe(duplex=False)
        self._process = _context.Process(target=_run, args=(writer, work, arguments), daemon=True)
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


def _run(writer: Connection, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    _parent[:] = [writer]
    try:
        work(*arguments)
        tell("done")
    except BaseException:
        tell(f"failed {traceback.format_exc()}")
        raise
    finally:
        os._exit(0)  # what is still open needs no tidy end
