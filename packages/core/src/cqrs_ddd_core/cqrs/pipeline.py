"""The way of one type of message, decided once: middleware, unit of work, handler."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from cqrs_ddd_core.cqrs.invocation import Invoke


class Pipeline:
    """What a message of one type goes through.

    Attributes:
        read_only: the message is a query, its unit of work is never committed.
        handle: the middleware inside the unit of work, then the handler.
        around: the middleware around the unit of work, ending in the mediator; None without any.
    """

    __slots__ = ("around", "handle", "operation", "read_only")

    def __init__(self, operation: str, handle: Invoke, *, read_only: bool) -> None:
        self.operation, self.handle, self.read_only = operation, handle, read_only
        self.around: Invoke | None = None


def surrounds_unit_of_work(middleware: Any) -> bool:
    """Whether a middleware stands outside of the transaction."""
    return getattr(middleware, "surrounds_unit_of_work", False)


def wrap(middlewares: Sequence[Any], innermost: Invoke) -> Invoke:
    """Return one function that goes through ``middlewares``, the first outermost."""
    wrapped = innermost
    for middleware in reversed(middlewares):
        wrapped = _bound(middleware, wrapped)
    return wrapped


def _bound(middleware: Callable[[Any, Invoke], Awaitable[Any]], next_handler: Invoke) -> Invoke:
    return lambda message: middleware(message, next_handler)
