"""Cancelling a block from outside, and knowing afterwards that it was us."""

import asyncio


class Interruption:
    """Cancels the task it was made in, and tells its own cancellation from anybody else's.

    Example:
        >>> async def block():
        ...     interruption = Interruption()
        ...     interruption.cancel()
        ...     try:
        ...         await asyncio.sleep(3600)
        ...     except asyncio.CancelledError:
        ...         return interruption.was_the_only_one()
        >>> asyncio.run(block())
        True
    """

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._before = self._task.cancelling() if self._task is not None else 0
        self._asked = False

    def cancel(self) -> None:
        """Cancel the task, once."""
        if self._task is not None and not self._asked:
            self._asked = True
            self._task.cancel()

    def was_the_only_one(self) -> bool:
        """Whether nobody else cancelled the task; asked once, when the block has ended."""
        return self._asked and self._task is not None and self._task.uncancel() <= self._before
