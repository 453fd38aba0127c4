"""The results that a unit of work has open on the server."""

import asyncio
from typing import Any

from sqlalchemy.ext.asyncio import AsyncResult


class OpenStreams:
    """What has to be closed before the transaction ends.

    The event loop closes a stream that was left early when it gets to it, beside whatever the unit
    of work does next. The CLOSE of a cursor must not come behind the end of its transaction: it
    fails the next one on that connection. So who ends the transaction closes what is open, and
    waits for what is just being closed.
    """

    def __init__(self) -> None:
        self._open: dict[AsyncResult[Any], asyncio.Lock] = {}

    def add(self, result: AsyncResult[Any]) -> None:
        """Take note of a result."""
        self._open[result] = asyncio.Lock()

    async def close(self, result: AsyncResult[Any]) -> None:
        """Give up the rows that were not read; return once the server knows."""
        if (closing := self._open.get(result)) is not None:
            async with closing:
                await result.close()
            self._open.pop(result, None)

    async def close_all(self) -> None:
        """Close what is open, the latest first."""
        while self._open:
            await self.close(next(reversed(self._open)))
