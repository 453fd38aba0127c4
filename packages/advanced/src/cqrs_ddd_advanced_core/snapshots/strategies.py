"""When a snapshot is worth its row."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from cqrs_ddd_core import utc_now


@dataclass(frozen=True, slots=True)
class SnapshotProgress:
    """How an aggregate stands when it has been saved.

    Attributes:
        aggregate: the aggregate.
        version: of its last event.
        snapshot_version: the version of its last snapshot, as far as known; 0 without one.
        snapshot_taken_at: when that was taken; None without one.
    """

    aggregate: Any
    version: int
    snapshot_version: int
    snapshot_taken_at: datetime | None


@runtime_checkable
class ISnapshotStrategy(Protocol):
    """Decides after each save whether a snapshot is taken."""

    def should_snapshot(self, progress: SnapshotProgress) -> bool:
        """Whether to take one now."""
        ...


@dataclass(frozen=True, slots=True)
class EveryNEventsStrategy:
    """Takes a snapshot when at least ``every_n`` events have come since the last one.

    Example:
        >>> strategy = EveryNEventsStrategy(every_n=5)
        >>> [strategy.should_snapshot(SnapshotProgress(None, n, 0, None)) for n in (3, 6)]
        [False, True]
    """

    every_n: int = 100

    def should_snapshot(self, progress: SnapshotProgress) -> bool:
        """Whether that many events have come."""
        return progress.version - progress.snapshot_version >= self.every_n


@dataclass(frozen=True, slots=True)
class TimeStrategy:
    """Takes a snapshot when the last one is older than ``every`` seconds, or there is none."""

    every: float

    def should_snapshot(self, progress: SnapshotProgress) -> bool:
        """Whether that much time has passed, and there is something new."""
        taken_at = progress.snapshot_taken_at
        if progress.version <= progress.snapshot_version:
            return False
        return taken_at is None or utc_now() - taken_at >= timedelta(seconds=self.every)


@dataclass(frozen=True, slots=True)
class CustomStrategy:
    """Takes a snapshot when your function says so."""

    decide: Callable[[SnapshotProgress], bool]

    def should_snapshot(self, progress: SnapshotProgress) -> bool:
        """Whether the function says so."""
        return self.decide(progress)
