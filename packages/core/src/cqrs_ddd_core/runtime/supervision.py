"""One part under supervision: run, and run again with growing delays when it fails."""

import asyncio
import logging
from collections.abc import Callable

from cqrs_ddd_core.ports.worker_part import IWorkerPart
from cqrs_ddd_core.primitives.clock import current_clock
from cqrs_ddd_core.primitives.error_text import described
from cqrs_ddd_core.primitives.retry import RetryPolicy
from cqrs_ddd_core.runtime.errors import (
    PartEndedError,
    WorkerGaveUpError,
    configuration_error_in,
)
from cqrs_ddd_core.runtime.status import PartState, PartStatus
from cqrs_ddd_core.runtime.waiting import is_set_within

_log = logging.getLogger(__name__)

_HEALTHY_AFTER = 60.0
"""Seconds a run lasts, after which a failure is the first of a new row."""


class SupervisedPart:
    """Runs a part until it is told to stop, and knows how it is.

    Args:
        part: what is run.
        restart: delays between its runs, and how many failures in a row are too many.
        give_up: called when the part is not run again, with the reason.
    """

    def __init__(
        self, part: IWorkerPart, restart: RetryPolicy, give_up: Callable[[Exception], None]
    ) -> None:
        self._part, self._restart, self._give_up = part, restart, give_up
        self.name = part.name
        self._state = PartState.STOPPED
        self._restarts = self._failures = 0
        self._said_stalled = False

    async def run(self, stopping: asyncio.Event) -> None:
        """Run the part, again after each failure, until ``stopping`` is set and it has drained."""
        self._restarts = self._failures = 0
        try:
            while not stopping.is_set():
                self._state = PartState.RUNNING
                error = await self._run_once(stopping)
                if error is None:
                    break
                self._failures += 1
                self._part.progress.trouble(error)
                if stopping.is_set():
                    _log.error("%s failed while it drained", self.name, exc_info=error)
                    break
                if self._is_beyond_hope(error):
                    return
                await self._wait_to_restart(stopping, error)
            self._state = PartState.STOPPED
        finally:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                self._state = PartState.CUT_OFF

    def status(self, *, stopping: bool) -> PartStatus:
        """Return how the part is."""
        progress, state = self._part.progress, self._state
        if stopping and state is PartState.RUNNING:
            state = PartState.DRAINING
        at_work = state in {PartState.RUNNING, PartState.DRAINING}
        return PartStatus(
            name=self.name,
            state=state,
            idle=at_work and progress.is_idle,
            stalled_for=progress.stalled_for if at_work else None,
            last_progress_at=progress.last_at,
            lag=progress.lag,
            lag_seconds=progress.lag_seconds,
            restarts=self._restarts,
            in_trouble=progress.in_trouble,
            last_error=progress.last_error,
            last_error_at=progress.last_error_at,
        )

    def log_if_stalled(self) -> None:
        """Say once that the part does not get on, and once that it does again."""
        stalled_for = self._part.progress.stalled_for if self._state is PartState.RUNNING else None
        if stalled_for is not None and not self._said_stalled:
            _log.warning("%s has made no progress for %.0f s", self.name, stalled_for)
        elif stalled_for is None and self._said_stalled:
            _log.info("%s makes progress again", self.name)
        self._said_stalled = stalled_for is not None

    async def _run_once(self, stopping: asyncio.Event) -> Exception | None:
        """Run the part to its end and return what went wrong."""
        clock = current_clock()
        began = clock.monotonic()
        self._part.progress.starts()
        try:
            await self._part.run(stopping)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            failure: Exception = PartEndedError(self.name)  # cancelled by itself, not by us
            failure.__cause__ = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the part is run again
            failure = error
        else:
            if stopping.is_set():
                return None
            failure = PartEndedError(self.name)
        if clock.monotonic() - began > _HEALTHY_AFTER:
            self._failures = 0  # it had worked for a while: this is a new trouble
        return failure

    def _is_beyond_hope(self, error: Exception) -> bool:
        """Whether to run the part again is in vain; then the worker is told."""
        reason: Exception | None = configuration_error_in(error)
        if reason is None and self._failures >= self._restart.max_attempts:
            reason = WorkerGaveUpError(self.name, self._failures, error)
            reason.__cause__ = error
        if reason is None:
            return False
        self._state = PartState.FAILED
        _log.error("%s failed and is not run again: %s", self.name, described(error))
        self._give_up(reason)
        return True

    async def _wait_to_restart(self, stopping: asyncio.Event, error: Exception) -> None:
        self._state = PartState.RESTARTING
        delay = self._restart.delay(self._failures)
        _log.error(
            "%s failed (%d in a row) and is run again in %.1f s",
            self.name,
            self._failures,
            delay,
            exc_info=error,
        )
        if not await is_set_within(stopping, delay):
            self._restarts += 1
