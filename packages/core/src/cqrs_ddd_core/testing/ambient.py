"""A clock and ids that a test owns."""

from datetime import UTC, datetime, timedelta

from cqrs_ddd_core.primitives.clock import as_utc


class ManualClock:
    """A clock that moves only when told to.

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

    def now(self) -> datetime:
        """Return the time it was last set to."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds it has been advanced by."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Move ``seconds`` forward."""
        self._now += timedelta(seconds=seconds)
        self._elapsed += seconds


class SequentialIds:
    """Ids that count: ``prefix-1``, ``prefix-2`` and so on."""

    def __init__(self, prefix: str = "id") -> None:
        self._prefix, self._count = prefix, 0

    def next_id(self) -> str:
        """Return the next id."""
        self._count += 1
        return f"{self._prefix}-{self._count}"
