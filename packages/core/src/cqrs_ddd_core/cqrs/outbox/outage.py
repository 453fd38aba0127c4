"""What a relay knows of a broker that is away."""

import random
import time

_FIRST_PAUSE = 0.1
_WIDEN = 8


class Outage:
    """Probes a broker that is away with one message after another, and widens when it is back.

    Nothing is held against the messages of a call that failed as a whole. Only where one message
    fails alone again and again, while others get through in between, it is to blame.

    Attributes:
        is_on: whether the last call failed as a whole.
        until: when to try next, by the machine's clock since boot.
        width: how many messages a call may have; None: as many as usual.
        error: why the broker is away.
    """

    def __init__(self, longest_pause: float) -> None:
        self._longest_pause = longest_pause
        self.is_on = False
        self.until = 0.0
        self.width: int | None = None
        self.error: BaseException | None = None
        self._pause = 0.0
        self._successes = 0
        self._suspects: dict[str, int] = {}

    def began(self, error: BaseException, alone: str | None) -> bool:
        """Take note that a call failed as a whole; return whether its message is to blame.

        Args:
            error: why.
            alone: the message, where it was the only one.
        """
        if alone is not None:
            before = self._suspects.get(alone, self._successes)
            if before < self._successes:
                self._suspects.pop(alone)
                return True
            self._suspects[alone] = before
        self._pause = min(self._longest_pause, self._pause * 2 or _FIRST_PAUSE)
        self.until = _now() + self._pause * random.uniform(0.5, 1.0)  # noqa: S311 - a jitter
        self.is_on, self.width, self.error = True, 1, error
        return False

    def ended(self) -> None:
        """Take note that a call went through."""
        self._successes += 1
        if self.width is None:
            return
        self.is_on, self.until, self._pause, self.error = False, 0.0, 0.0, None
        self.width *= _WIDEN
        if self.width > _WIDEN**4:
            self.width = None
            self._suspects.clear()


def _now() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)
