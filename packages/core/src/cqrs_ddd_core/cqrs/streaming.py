"""Hands the items of a streaming handler over to whoever iterates, one at a time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from cqrs_ddd_core.cqrs.events_in_scope import EventsInScope
from cqrs_ddd_core.cqrs.scope import Scope

_END = object()
OpenStream = Callable[[Any], Awaitable[AsyncIterator[Any]]]


class StreamChannel:
    """Connects a handler in a task of its own with the task that wants its items.

    The handler owns its unit of work and its context variables; the consumer sees neither. The
    handler goes on only when the consumer asks for more.
    """

    def __init__(self, open_stream: OpenStream, events: EventsInScope, *, read_only: bool) -> None:
        self._open_stream, self._events, self._read_only = open_stream, events, read_only
        self._handed_over: asyncio.Queue[Any] = asyncio.Queue()
        self._wanted = asyncio.Semaphore(0)
        self._broken_by: Exception | None = None

    async def produce(self, message: Any, scope: Scope) -> None:
        """Run the handler; commit and hand over each item, then wait for the next to be wanted.

        Called again by a retry, it starts over only if nothing was handed over: items would come
        twice.
        """
        if self._broken_by is not None:
            raise self._broken_by
        handed_over = 0
        stream: Any = await self._open_stream(message)
        try:
            async with aclosing(stream) as items:
                async for item in items:
                    raised = () if self._read_only else await self._events.checkpoint(scope)
                    self._handed_over.put_nowait(item)
                    handed_over += 1
                    await self._events.dispatch(raised)
                    await self._wanted.acquire()
        except Exception as error:
            self._broken_by = error if handed_over else None
            raise

    async def items(self, run: Callable[[], Awaitable[Any]]) -> AsyncGenerator[Any]:
        """Yield the items that ``run``, which ends in ``produce``, hands over."""
        producer = asyncio.ensure_future(run())
        producer.add_done_callback(lambda _: self._handed_over.put_nowait(_END))
        try:
            while (item := await self._handed_over.get()) is not _END:
                yield item
                self._wanted.release()
        finally:
            producer.cancel()
            await asyncio.wait([producer])
            if not producer.cancelled():
                producer.result()
