"""Parts that a test tells what to do."""

import asyncio
from collections.abc import Awaitable, Callable

from cqrs_ddd_core import Progress

Run = Callable[[asyncio.Event], Awaitable[None]]


class Part:
    """Runs what it is given, one after another; the last again and again."""

    def __init__(self, name: str, *runs: Run, stall_after: float = 60.0) -> None:
        self.name = name
        self.progress = Progress(stall_after=stall_after)
        self.runs = 0
        self._todo = list(runs)

    async def run(self, stopping: asyncio.Event) -> None:
        self.runs += 1
        todo = self._todo[min(self.runs, len(self._todo)) - 1] if self._todo else wait
        await todo(stopping)


async def wait(stopping: asyncio.Event) -> None:
    await stopping.wait()


def fails_with(error: BaseException) -> Run:
    async def run(stopping: asyncio.Event) -> None:
        raise error

    return run


async def ends_by_itself(stopping: asyncio.Event) -> None:
    await asyncio.sleep(0)


async def never_ends(stopping: asyncio.Event) -> None:
    await asyncio.Event().wait()
