"""Which middleware stands around handlers, in which order."""

import inspect
from collections.abc import Iterable
from typing import Any

from cqrs_ddd_core.ports.middleware import IEventSink, IMiddleware


class MiddlewareRegistry:
    """Middleware in order of priority: the lowest is outermost; equal ones keep their order.

    Example:
        >>> from cqrs_ddd_core.middleware import LoggingMiddleware, ValidatorMiddleware
        >>> middlewares = MiddlewareRegistry([ValidatorMiddleware()])
        >>> middlewares.register(LoggingMiddleware, priority=-10)
        >>> [type(middleware).__name__ for middleware in middlewares.get_ordered_middlewares()]
        ['LoggingMiddleware', 'ValidatorMiddleware']
    """

    def __init__(self, middlewares: Iterable[Any] = ()) -> None:
        self._entries: list[tuple[int, Any]] = []
        for middleware in middlewares:
            self.register(middleware)

    def register(self, middleware: Any, *, priority: int = 0) -> None:
        """Add an instance, or a class that is made without arguments.

        Raises:
            TypeError: it is neither a middleware nor an event sink.
        """
        instance = middleware() if inspect.isclass(middleware) else middleware
        if not isinstance(instance, IMiddleware | IEventSink):
            raise TypeError(
                f"{instance!r} is no middleware: give it async def __call__(self, message, "
                "next_handler), or async def save_events(self, events, uow)."
            )
        self._entries.append((priority, instance))
        self._entries.sort(key=lambda entry: entry[0])

    def get_ordered_middlewares(self) -> list[Any]:
        """Return the instances, outermost first."""
        return [instance for _, instance in self._entries]

    def clear(self) -> None:
        """Forget all of them."""
        self._entries.clear()
