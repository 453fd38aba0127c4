"""How often and how fast to try again: for commands, relays, consumers, jobs and workers."""

import random
from dataclasses import dataclass

_MOST_DOUBLINGS = 500  # far above any delay, far below what a float cannot hold


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how fast to try again: exponential backoff with full jitter.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Attributes:
        max_attempts: the first one counts.
        base_delay: seconds before the second attempt, at most; doubled for each further one.
        max_delay: seconds no delay exceeds.

    Example:
        >>> RetryPolicy(base_delay=0.1, max_delay=0.3).longest_delay(attempt=3)
        0.3
    """

    max_attempts: int = 5
    base_delay: float = 0.01
    max_delay: float = 1.0

    def longest_delay(self, attempt: int) -> float:
        """Return the upper end of the delay behind the ``attempt``-th attempt, in seconds."""
        return min(self.max_delay, self.base_delay * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))

    def delay(self, attempt: int) -> float:
        """Return a random delay behind the ``attempt``-th attempt, in seconds."""
        return random.uniform(0, self.longest_delay(attempt))  # noqa: S311 - spreads load only
