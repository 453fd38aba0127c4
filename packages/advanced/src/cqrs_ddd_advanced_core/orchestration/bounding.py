"""Doing something in a task of its own, until it is done or has to stop."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.primitives.clock import current_clock

_LONGEST_LEAVE = 10.0
"""Seconds that something has to stop when it has been told to."""


class StoppedByItselfError(Exception):
    """What was done has cancelled itself, so nobody knows how far it came."""


async def bounded(
    work: Coroutine[Any, Any, Any],
    *,
    limits: dict[float, Exception],
    lost: asyncio.Event,
    lost_error: Exception,
) -> Any:
    """Do ``work`` and return its result.

    Args:
        work: what is to be done.
        limits: what is raised when it takes longer than so many seconds.
        lost: stops it when set.
        lost_error: what is raised then.
    """
    task = asyncio.create_task(work)
    stops: dict[asyncio.Task[Any], Exception] = {asyncio.create_task(lost.wait()): lost_error}
    for seconds, error in limits.items():
        stops[asyncio.create_task(current_clock().sleep(seconds))] = error
    try:
        await asyncio.wait({task, *stops}, return_when=asyncio.FIRST_COMPLETED)
        reasons = [error for stop, error in stops.items() if stop.done()]
    finally:
        await shielded(_end(task, *stops))
    if task.done() and not task.cancelled() and (task.exception() is None or not reasons):
        return task.result()  # it may have been through before it heard that it had to stop
    raise reasons[0] if reasons else StoppedByItselfError


async def pause(seconds: float, lost: asyncio.Event, lost_error: Exception) -> None:
    """Wait by the clock in force; raise ``lost_error`` as soon as ``lost`` is set."""
    if not lost.is_set():
        await bounded(current_clock().sleep(seconds), limits={}, lost=lost, lost_error=lost_error)
    if lost.is_set():
        raise lost_error


async def _end(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    ended, _ = await asyncio.wait(tasks, timeout=_LONGEST_LEAVE)
    for task in ended:
        if not task.cancelled():
            task.exception()  # it counts as seen
