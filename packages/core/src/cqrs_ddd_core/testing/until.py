"""Waits for a condition, so that no test sleeps and hopes."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from cqrs_ddd_core.primitives.errors import CQRSDDDError

_YIELDS = 20  # rounds of letting other tasks run, before the clock is asked
_PAUSE = 0.005


class ConditionNotMetError(CQRSDDDError):
    """A test waited for a condition that did not come true in time.

    Attributes:
        condition: what was waited for, as far as it can be named.
        timeout: how long was waited, in seconds.
        last: what the condition returned last.
    """

    def __init__(self, condition: str, timeout: float, last: object) -> None:
        self.condition, self.timeout, self.last = condition, timeout, last
        super().__init__(
            f"{condition} did not hold within {timeout:g} s; it last returned {last!r}. Either "
            "what it waits for never happens, or it needs a longer timeout."
        )


async def until(
    condition: Callable[[], Any],
    timeout: float = 5.0,  # noqa: ASYNC109 - it ends the wait, nothing is cancelled
) -> Any:
    """Let other tasks run until ``condition`` holds, and return what it returned.

    Args:
        condition: a function or a coroutine function; called again and again.
        timeout: seconds to wait at most, by the machine's clock.

    Raises:
        ConditionNotMetError: it did not hold in time.

    Example:
        >>> async def wait_for_the_other():
        ...     done = asyncio.Event()
        ...     asyncio.get_running_loop().call_later(0.01, done.set)
        ...     return await until(done.is_set)
        >>> asyncio.run(wait_for_the_other())
        True
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    rounds = 0
    while True:
        outcome = condition()
        if inspect.isawaitable(outcome):
            outcome = await outcome
        if outcome:
            return outcome
        if loop.time() >= deadline and rounds >= _YIELDS:
            raise ConditionNotMetError(_described(condition), timeout, outcome)
        await asyncio.sleep(0 if rounds < _YIELDS else _PAUSE)
        rounds += 1


def _described(condition: Callable[[], Any]) -> str:
    """Return the name of a condition; for a lambda, where it is written."""
    code = getattr(condition, "__code__", None)
    name = getattr(condition, "__qualname__", repr(condition))
    if code is None or "<lambda>" not in name:
        return name
    return f"The condition at {code.co_filename}:{code.co_firstlineno}"
