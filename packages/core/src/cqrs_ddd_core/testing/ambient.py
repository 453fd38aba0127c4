"""A clock and ids that a test owns."""

import asyncio
from datetime import UTC, datetime, timedelta

from cqrs_ddd_core.primitives.clock import as_utc


class ManualClock:
    """A clock that moves only when told to; who sleeps by it is woken by ``advance``.

    Attributes:
        alarms: the readings of ``monotonic`` at which it wakes somebody, earliest first. A test
            waits for them with ``until`` before it moves the clock.

    Example:
        >>> clock = ManualClock()
        >>> before = clock.now()
        >>> clock.advance(60)
        >>> (clock.now() - before).total_seconds()
        60.0
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = as_utc(start)
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the time it was last set to."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds it has been advanced by."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced by ``seconds``."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = self._elapsed + seconds, asyncio.get_running_loop().create_future()
        self._sleepers.append(sleeper)
        try:
            await sleeper[1]
        finally:
            self._sleepers.remove(sleeper)

    @property
    def alarms(self) -> list[float]:
        """When it wakes somebody, by its own seconds."""
        return sorted(due for due, woken in self._sleepers if not woken.done())

    def advance(self, seconds: float) -> None:
        """Move ``seconds`` forward, and wake whose time has come."""
        self._now += timedelta(seconds=seconds)
        self._elapsed += seconds
        for due, woken in self._sleepers:
            if due <= self._elapsed and not woken.done():
                woken.set_result(None)


class SequentialIds:
    """Ids that count: ``prefix-1``, ``prefix-2`` and so on."""

    def __init__(self, prefix: str = "id") -> None:
        self._prefix, self._count = prefix, 0

    def next_id(self) -> str:
        """Return the next id."""
        self._count += 1
        return f"{self._prefix}-{self._count}"
