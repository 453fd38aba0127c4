"""Runs parts side by side: inside an application, or as a process of its own."""

import asyncio
import logging
import sys
from collections.abc import Iterable
from enum import IntEnum
from types import TracebackType
from typing import Self

from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports.worker_part import IWorkerPart
from cqrs_ddd_core.primitives.clock import current_clock
from cqrs_ddd_core.primitives.errors import ConfigurationError
from cqrs_ddd_core.primitives.retry import RetryPolicy
from cqrs_ddd_core.runtime.interruption import Interruption
from cqrs_ddd_core.runtime.signals import ending_signals
from cqrs_ddd_core.runtime.status import PartState, WorkerStatus
from cqrs_ddd_core.runtime.supervision import SupervisedPart
from cqrs_ddd_core.runtime.waiting import first_of

_log = logging.getLogger(__name__)

_LOOK_EVERY = 5.0
"""Seconds between two looks for parts that have stalled."""
_BY_SIGNAL = 128
"""Added to the number of the signal that ended a process, as shells do."""
_FOR_EVER = RetryPolicy(max_attempts=sys.maxsize, base_delay=1.0, max_delay=60.0)


class ExitCode(IntEnum):
    """What a worker's process says when it ends."""

    OK = 0
    """It was told to stop, and every part finished what was under way."""
    FAILED = 1
    """A part failed too often, or did not finish in time; nothing acknowledged is lost."""
    CONFIGURATION = 78
    """A part can never work as it is wired (``EX_CONFIG``): correct it, do not just restart."""


class Worker:
    """Starts its parts, runs a failed one again, watches them, and has them drain at the end.

    Inside an application it is a block: ``async with worker:``. When a part turns out to be wired
    wrongly, or gives up, the other parts drain, the block is cancelled and the error raised from
    it. As a process it is ``worker.run()``, which also minds SIGTERM and SIGINT.

    Args:
        parts: what to run; their names differ.
        drain_timeout: seconds the parts have to finish once they are told to stop. What is cut off
            then is done again later.
        restart: the delays before a failed part is run again, in seconds. After ``max_attempts``
            failures in a row the worker gives up; by default it never does. A failure after a run
            of more than a minute is the first of a new row.

    Raises:
        ConfigurationError: there are no parts, or two of one name.

    Example:
        >>> from cqrs_ddd_core.runtime import Periodic
        >>> async def forget_old_messages() -> None: ...
        >>> async def application():
        ...     retention = Periodic("inbox retention", forget_old_messages, every=3600)
        ...     async with Worker([retention]) as worker:
        ...         return [part.name for part in worker.status().parts]
        >>> asyncio.run(application())
        ['inbox retention']
    """

    def __init__(
        self,
        parts: Iterable[IWorkerPart],
        *,
        drain_timeout: float = 30.0,
        restart: RetryPolicy = _FOR_EVER,
    ) -> None:
        self._parts = [SupervisedPart(part, restart, self._give_up) for part in parts]
        _check_names([part.name for part in self._parts])
        self._drain_timeout = drain_timeout
        self._stopping, self._leaving = asyncio.Event(), asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._block: Interruption | None = None
        self._reason: Exception | None = None

    def status(self) -> WorkerStatus:
        """Return how the parts are: for a health check, a page, a log."""
        stopping = self._stopping.is_set()
        return WorkerStatus([part.status(stopping=stopping) for part in self._parts])

    async def start(self) -> None:
        """Start the parts, in tasks of their own; they keep trying when they cannot work yet.

        Does nothing when they run already. A worker that was stopped can be started again.
        """
        if self._running is not None and not self._running.done():
            return
        self._stopping, self._leaving, self._reason = asyncio.Event(), asyncio.Event(), None
        self._running = asyncio.create_task(self._run_parts(), name="worker")

    async def stop(self) -> None:
        """Have the parts finish what is under way, and return when nothing of them runs any more.

        Raises:
            ConfigurationError: a part was wired wrongly and had ended the worker before.
            WorkerGaveUpError: a part had failed too often and ended the worker before.
        """
        await self._end()
        if self._reason is not None:
            raise self._reason

    async def __aenter__(self) -> Self:
        await self.start()
        self._block = Interruption()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        block, self._block = self._block, None
        cancelled = exc if isinstance(exc, asyncio.CancelledError) else None
        try:
            await self._end()
        except asyncio.CancelledError as error:
            cancelled = error
        by_us = block is not None and block.was_the_only_one()
        if cancelled is not None and not by_us:
            raise cancelled
        if self._reason is not None and (exc is None or cancelled is exc):
            raise self._reason

    def run(self) -> int:
        """Run the parts in an event loop of their own, until a signal; return the exit code.

        Example:
            ``raise SystemExit(worker.run())`` at the end of a script.
        """
        return asyncio.run(self.serve())

    async def serve(self) -> int:
        """Run the parts until SIGTERM or SIGINT comes; return the exit code for the process.

        The first signal has the parts drain, the second has them leave at once, a third ends the
        process the hard way. Every way is safe: what was not finished is done again.
        """
        loop = asyncio.get_running_loop()
        left_by: list[int] = []

        def drain(number: int) -> None:
            _log.info("Signal %d: finishing what is under way", number)
            self._stopping.set()

        def leave(number: int) -> None:
            _log.warning("Signal %d: leaving at once", number)
            left_by.append(number)
            self._leaving.set()

        # A signal handler may interrupt anything, so each only leaves a note for the loop.
        with ending_signals(
            lambda number: loop.call_soon_threadsafe(drain, number),
            lambda number: loop.call_soon_threadsafe(leave, number),
        ):
            try:
                await self.start()
                await self._until_ended()
            finally:
                await self._end()
        return _BY_SIGNAL + left_by[0] if left_by else self._exit_code()

    async def _run_parts(self) -> None:
        """Run the parts and whoever watches them until they have ended, in time or not."""
        _log.info("Running %s", ", ".join(part.name for part in self._parts))
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(part.run(self._stopping), name=part.name) for part in self._parts
            ]
            watching = group.create_task(self._watch(), name="stalled parts")
            await self._stopping.wait()
            watching.cancel()
            await first_of(
                asyncio.wait(tasks),
                current_clock().sleep(self._drain_timeout),
                self._leaving.wait(),
            )
            for task in tasks:
                if not task.done():
                    _log.warning("%s did not finish in time and is cut off", task.get_name())
                    task.cancel()

    async def _watch(self) -> None:
        while True:
            await current_clock().sleep(_LOOK_EVERY)
            for part in self._parts:
                part.log_if_stalled()

    def _give_up(self, reason: Exception) -> None:
        """End all parts because one of them cannot go on; whoever waits for the worker is told."""
        self._reason = self._reason or reason
        self._stopping.set()
        if self._block is not None:
            self._block.cancel()

    async def _until_ended(self) -> None:
        if self._running is not None:
            await asyncio.wait([self._running])

    async def _end(self) -> None:
        """Stop the parts and wait for them, also when the caller is cancelled meanwhile."""
        running, self._running = self._running, None
        if running is None:
            return
        self._stopping.set()
        await shielded(_end_of(running))

    def _exit_code(self) -> ExitCode:
        if isinstance(self._reason, ConfigurationError):
            return ExitCode.CONFIGURATION
        cut_off = any(part.state is PartState.CUT_OFF for part in self.status().parts)
        return ExitCode.FAILED if self._reason is not None or cut_off else ExitCode.OK


async def _end_of(running: asyncio.Task[None]) -> None:
    await running


def _check_names(names: list[str]) -> None:
    if not names:
        raise ConfigurationError("A worker without parts has nothing to do; give it some.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(
            f"Two parts of a worker are called {', '.join(map(repr, twice))}; the status and the "
            "logs tell them apart by their names. Name one of them otherwise."
        )
