"""The port that hands committed events to their handlers."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class IEventDispatcher(Protocol):
    """Runs the handlers of committed events; none of their failures hides another."""

    async def dispatch(self, events: Sequence[Any]) -> Sequence[Any]:
        """Run the handlers of all ``events`` and return the failures; raises none of them."""
        ...
