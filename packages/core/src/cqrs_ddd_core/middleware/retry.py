"""Repeats a message that lost a race, each time in a new unit of work."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from cqrs_ddd_core.cqrs.scope import current_scope
from cqrs_ddd_core.ports.middleware import NextHandler
from cqrs_ddd_core.primitives.errors import ConcurrencyError

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


class RetryMiddleware:
    """Sends a message through again when it fails with one of ``errors``.

    Every attempt is a unit of work of its own: what the failed one did is undone first. A nested
    command is not repeated here, for its unit of work is its sender's; the root command is. A
    stream starts over only while nothing of it has been handed over; later, its error comes as it
    is.

    Args:
        policy: attempts and delays.
        errors: what is worth another attempt; a lost race by default.
    """

    surrounds_unit_of_work: ClassVar[bool] = True

    def __init__(
        self,
        policy: RetryPolicy | None = None,
        *,
        errors: tuple[type[Exception], ...] = (ConcurrencyError,),
    ) -> None:
        self._policy, self._errors = policy or RetryPolicy(), errors

    async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
        """Handle ``message``, again if need be; the last attempt's error is raised as it is."""
        if current_scope() is not None:
            return await next_handler(message)
        for attempt in range(1, self._policy.max_attempts):
            with suppress(*self._errors):
                return await next_handler(message)
            await asyncio.sleep(self._policy.delay(attempt))
        return await next_handler(message)
