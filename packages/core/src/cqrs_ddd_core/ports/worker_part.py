"""The port of what a worker runs: relays, consumers, projections, timers, jobs."""

import asyncio
from datetime import datetime
from typing import Protocol, runtime_checkable

from cqrs_ddd_core.primitives.clock import current_clock
from cqrs_ddd_core.primitives.error_text import described


class Progress:
    """How a part gets on: the part notes each step, whoever watches it reads.

    A part is busy or idle. Busy, it is expected to take its next step soon; one that does not is
    stalled. Idle, it waits for work and may do so for ever. It is in trouble when something it
    needs is away and it tries again by itself.

    Args:
        stall_after: how many seconds a single step may take, at most.

    Attributes:
        last_at: when the last step was noted, in UTC; None before the first.
        is_idle: whether the part has nothing to do.
        lag: how many messages wait for it, as far as it knows.
        lag_seconds: how long the oldest of them has waited.
        in_trouble: whether it has failed and taken no step since.
        last_error: what it failed with last, with the error's type.
        last_error_at: when that was, in UTC.

    Example:
        >>> progress = Progress()
        >>> progress.busy(lag=500, lag_seconds=2.5)
        >>> progress.is_idle, progress.lag
        (False, 500)
        >>> progress.trouble(OSError("no route to host"))
        >>> progress.in_trouble, progress.last_error
        (True, 'OSError: no route to host')
        >>> progress.idle()
        >>> progress.is_idle, progress.lag, progress.in_trouble
        (True, 0, False)
    """

    def __init__(self, *, stall_after: float = 60.0) -> None:
        self.stall_after = stall_after
        self.last_at: datetime | None = None
        self.is_idle = self.in_trouble = False
        self.lag: int | None = None
        self.lag_seconds: float | None = None
        self.last_error: str | None = None
        self.last_error_at: datetime | None = None
        self._since = current_clock().monotonic()

    def wakes(self) -> None:
        """Note that there is something to do again; it is not done yet, so this is no step."""
        if self.is_idle:
            self.is_idle, self._since = False, current_clock().monotonic()

    def busy(self, *, lag: int | None = None, lag_seconds: float | None = None) -> None:
        """Note that a step is done and the next one begins; what is not known stays None."""
        self.is_idle, self.lag, self.lag_seconds = False, lag, lag_seconds
        self._note_step()

    def idle(self) -> None:
        """Note that a step is done and nothing is left to do; the part waits for work."""
        self.is_idle, self.lag, self.lag_seconds = True, 0, 0.0
        self._note_step()

    def trouble(self, error: BaseException) -> None:
        """Note that the part failed; it counts as in trouble until its next step."""
        self.is_idle, self.in_trouble = False, True
        self.last_error, self.last_error_at = described(error), current_clock().now()

    def starts(self) -> None:
        """Note that the part is run, for the first time or again; its worker does that."""
        self.is_idle, self._since = False, current_clock().monotonic()

    @property
    def stalled_for(self) -> float | None:
        """Seconds since the last step or the start, when that is too long; else None."""
        if self.is_idle:
            return None
        silent = current_clock().monotonic() - self._since
        return silent if silent > self.stall_after else None

    def _note_step(self) -> None:
        clock = current_clock()
        self.in_trouble, self.last_at, self._since = False, clock.now(), clock.monotonic()


@runtime_checkable
class IWorkerPart(Protocol):
    """Something that works in the background until it is told to stop."""

    @property
    def name(self) -> str:
        """What it is called in logs and in the worker's status; unique in its worker."""
        ...

    @property
    def progress(self) -> Progress:
        """How it gets on."""
        ...

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until ``stopping`` is set; then take on nothing new, finish, and return.

        It opens what it needs when it begins and gives it back when it ends, however it ends, for
        it may be run again: after it raised, and after it was told to stop. Cancelled, it leaves
        at once, and what it had not finished is done again later.

        Raises:
            ConfigurationError: it can never work as it is wired; it is not run again.
            Exception: it cannot work now; its worker runs it again later.
        """
        ...
