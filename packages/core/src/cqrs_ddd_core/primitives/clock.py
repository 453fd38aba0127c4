"""Where the time comes from, so that a test can own it."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol, TypeVar, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """Tells the time of day, measures durations and waits."""

    def now(self) -> datetime:
        """Return the current time, with its time zone (UTC)."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; never goes backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait until ``seconds`` have passed on this clock."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds of the machine's monotonic clock."""
        return monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``."""
        await asyncio.sleep(seconds)


C = TypeVar("C", bound=Clock)

_clock: ContextVar[Clock] = ContextVar("cqrs_ddd_clock", default=SystemClock())  # noqa: B039


def current_clock() -> Clock:
    """Return the clock in force: the machine's, unless ``use_clock`` says otherwise."""
    return _clock.get()


def utc_now() -> datetime:
    """Return the current time by the clock in force."""
    return _clock.get().now()


@contextmanager
def use_clock(clock: C) -> Generator[C]:
    """Make ``clock`` the one in force inside the block, which gets it as it is.

    Example:
        >>> from datetime import UTC, datetime
        >>> from cqrs_ddd_core.testing import ManualClock
        >>> with use_clock(ManualClock(datetime(2026, 1, 1, tzinfo=UTC))) as clock:
        ...     clock.advance(60)
        ...     utc_now().isoformat()
        '2026-01-01T00:01:00+00:00'
    """
    token = _clock.set(clock)
    try:
        yield clock
    finally:
        _clock.reset(token)


def as_utc(moment: datetime) -> datetime:
    """Return ``moment`` in UTC; a naive one is read as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
