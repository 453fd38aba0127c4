"""What a worker tells of its parts: for health checks, for people, as data."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class PartState(StrEnum):
    """Where a part is in its life."""

    STOPPED = "stopped"
    """It has not been started, or it has finished its work and ended."""
    RUNNING = "running"
    """It works, or waits for work."""
    DRAINING = "draining"
    """It has been told to stop and finishes what is under way."""
    RESTARTING = "restarting"
    """It has failed and is run again soon."""
    FAILED = "failed"
    """It has failed and is not run again."""
    CUT_OFF = "cut off"
    """It did not finish in time and was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """How one part is.

    Attributes:
        name: what it is called.
        state: where it is in its life.
        idle: whether it waits for work.
        stalled_for: seconds without a step, when that is too long; else None.
        last_progress_at: when it took its last step.
        lag: how many messages wait for it, as far as it knows.
        lag_seconds: how long the oldest of them has waited.
        restarts: how often it was run again since the worker was started.
        in_trouble: whether it has failed and taken no step since.
        last_error: why it failed last, with the error's type.
        last_error_at: when that was.
    """

    name: str
    state: PartState
    idle: bool
    stalled_for: float | None
    last_progress_at: datetime | None
    lag: int | None
    lag_seconds: float | None
    restarts: int
    in_trouble: bool
    last_error: str | None
    last_error_at: datetime | None

    @property
    def healthy(self) -> bool:
        """Whether it runs, and gets on."""
        gets_on = self.stalled_for is None and not self.in_trouble
        return self.state is PartState.RUNNING and gets_on


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """How a worker and its parts are.

    Attributes:
        parts: one status a part, in the order the parts were given.
    """

    parts: Sequence[PartStatus]

    @property
    def healthy(self) -> bool:
        """Whether every part is; a worker that drains is not, so nobody counts on it any more."""
        return all(part.healthy for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the status as data that JSON can hold."""
        return {"healthy": self.healthy, "parts": [_as_data(part) for part in self.parts]}


def _as_data(part: PartStatus) -> dict[str, Any]:
    data: dict[str, Any] = {**asdict(part), "healthy": part.healthy}
    for key in ("last_progress_at", "last_error_at"):
        data[key] = None if data[key] is None else data[key].isoformat()
    return data
