"""A part that does something now and then: retention, a report, a sweep."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cqrs_ddd_core.ports.worker_part import Progress
from cqrs_ddd_core.primitives.errors import ConfigurationError
from cqrs_ddd_core.runtime.waiting import is_set_within


class Periodic:
    """Runs ``action`` at once and then ``every`` so many seconds after it ended.

    An error of the action is the part's: its worker logs it and runs it again with its own delays.

    Args:
        name: what the part is called.
        action: what to do; begins anew each time.
        every: seconds from the end of one run to the beginning of the next.
        stall_after: how many seconds a run may take before the part counts as stalled.

    Raises:
        ConfigurationError: ``every`` is not above 0.

    Example:
        >>> async def forget_old_messages() -> None: ...
        >>> Periodic("inbox retention", forget_old_messages, every=3600).name
        'inbox retention'
    """

    def __init__(
        self,
        name: str,
        action: Callable[[], Awaitable[Any]],
        *,
        every: float,
        stall_after: float = 60.0,
    ) -> None:
        if every <= 0:
            raise ConfigurationError(f"{name} is to run every {every:g} s; give more than 0.")
        self.name = name
        self.progress = Progress(stall_after=stall_after)
        self._action, self._every = action, every

    async def run(self, stopping: asyncio.Event) -> None:
        """Run the action again and again until ``stopping`` is set."""
        while not stopping.is_set():
            self.progress.busy()
            await self._action()
            self.progress.idle()
            await is_set_within(stopping, self._every)
