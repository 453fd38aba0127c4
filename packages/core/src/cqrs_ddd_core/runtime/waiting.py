"""Waiting for the first of several things, by the clock in force."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from cqrs_ddd_core.primitives.clock import current_clock


async def first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Return when one of ``waits`` has ended; the others are cancelled, none is left running.

    Example:
        >>> asyncio.run(first_of(asyncio.sleep(0), asyncio.sleep(3600)))
    """
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait until ``event`` is set, at most ``seconds``; return whether it is.

    Example:
        >>> asyncio.run(is_set_within(asyncio.Event(), 0.01))
        False
    """
    if not event.is_set():
        await first_of(event.wait(), current_clock().sleep(seconds))
    return event.is_set()
