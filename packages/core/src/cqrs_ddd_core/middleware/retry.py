"""Repeats a message that lost a race, each time in a new unit of work."""

import asyncio
from contextlib import suppress
from typing import Any, ClassVar

from cqrs_ddd_core.cqrs.scope import current_scope
from cqrs_ddd_core.ports.middleware import NextHandler
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_core.primitives.retry import RetryPolicy


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
