"""Wakes readers of the feed, and relays, when something has been committed."""

import asyncio


class FeedSignal:
    """Counts commits and wakes who waits for the next one, in this process and event loop.

    It saves the wait for the next poll, nothing more: commits of other processes are not told,
    unless a storage's own kind of signal brings them, such as ``PostgreSQLSignal``.

    Example:
        >>> signal = FeedSignal()
        >>> seen = signal.count
        >>> signal.notify()
        >>> asyncio.run(signal.wait(seen, timeout=60))  # at once: there was a commit since
        True
    """

    def __init__(self) -> None:
        self._count = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def count(self) -> int:
        """How many commits have been told."""
        return self._count

    def notify(self) -> None:
        """Tell of a commit."""
        self._count += 1
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, seen: int, timeout: float) -> bool:  # noqa: ASYNC109 - a poll's interval
        """Wait until ``count`` is beyond ``seen``; return False after ``timeout`` seconds."""
        if self._count == seen:
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await asyncio.wait((future,), timeout=timeout)
            finally:
                self._waiting.discard(future)
        return self._count != seen
