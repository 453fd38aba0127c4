"""What a relay knows of a broker that is away."""

import random
import time

_FIRST_PAUSE = 0.1
_SUSPECTS = 10_000


class Outage:
    """Tells a broker that is away from a message that cannot be published.

    Nothing is held against the messages of a call that failed as a whole. They are tried one by
    one. Where one of them fails alone, another gets through, and it fails alone again, it is to
    blame.

    Attributes:
        is_on: whether the last call failed as a whole.
        until: when to try next, by the machine's clock since boot.
        error: why the broker is away.
    """

    def __init__(self, longest_pause: float) -> None:
        self._longest_pause = longest_pause
        self.is_on = False
        self.until = 0.0
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
            if len(self._suspects) > _SUSPECTS:
                self._suspects.clear()
            before = self._suspects.get(alone, self._successes)
            if before < self._successes:
                self._suspects.pop(alone)
                return True
            self._suspects[alone] = before
        self._pause = min(self._longest_pause, self._pause * 2 or _FIRST_PAUSE)
        self.until = _now() + self._pause * random.uniform(0.5, 1.0)  # noqa: S311 - a jitter
        self.is_on, self.error = True, error
        return False

    def ended(self) -> None:
        """Take note that a call went through."""
        self._successes += 1
        if self.is_on:
            self.is_on, self.until, self._pause, self.error = False, 0.0, 0.0, None


def _now() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)
