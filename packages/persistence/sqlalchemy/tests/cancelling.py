"""Cancels a task at a chosen place where it waits."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class CancelledAt:
    """Awaits ``work`` and cancels the running task when it waits for the ``point``-th time."""

    def __init__(self, work: Coroutine[Any, Any, Any], point: int) -> None:
        self._work, self._point, self.waits = work, point, 0

    @property
    def was_reached(self) -> bool:
        return self.waits >= self._point

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        error: BaseException | None = None
        while True:
            try:
                waited_for = steps.send(None) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            self.waits += 1
            if self.waits == self._point:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            error = None
            try:
                yield waited_for
            except BaseException as raised:  # noqa: BLE001 - the work is told, and raises it
                error = raised


async def cancelled_at(point: int, work: Coroutine[Any, Any, Any]) -> bool:
    """Run ``work`` in a task of its own; return whether it waited often enough to be cancelled."""
    attempt = CancelledAt(work, point)

    async def run() -> None:
        await attempt

    await asyncio.gather(asyncio.create_task(run()), return_exceptions=True)
    return attempt.was_reached
