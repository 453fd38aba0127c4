"""The port through which handler classes become handlers; DI containers plug in here."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar, runtime_checkable

H = TypeVar("H")


@runtime_checkable
class IHandlerScope(Protocol):
    """Makes handlers for one root message; what it made lives until the scope ends."""

    async def resolve(self, handler_type: type[H]) -> H:
        """Return a handler of this class."""
        ...


@runtime_checkable
class IHandlerFactory(Protocol):
    """Opens a scope for each root message that needs a handler made.

    All handlers of one unit of work come from the same scope, nested commands and in-transaction
    event handlers included. It ends after the commit or rollback, so a dependency with a
    finaliser outlives ``handle``.
    """

    def open_scope(self) -> AbstractAsyncContextManager[IHandlerScope]:
        """Return the scope as a context manager."""
        ...
