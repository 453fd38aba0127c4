"""The port of a transaction that spans repositories, outbox and event store."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable


@runtime_checkable
class IUnitOfWork(Protocol):
    """Everything written through it becomes visible at once, or not at all.

    Used by one task. As a context manager it commits at the end of the block, and rolls back
    when the block raises.
    """

    async def flush(self) -> None:
        """Write pending changes inside the transaction, without ending it.

        Raises:
            ConcurrencyError: a change was made on a stale version.
        """
        ...

    async def commit(self) -> None:
        """Write what is pending and make it durable; the unit of work can be used on.

        Raises:
            ConcurrencyError: a change was made on a stale version, also when that shows only now.
        """
        ...

    async def rollback(self) -> None:
        """Undo what was written since the last commit."""
        ...

    async def close(self) -> None:
        """Give back what it holds; what was not committed is undone."""
        ...

    def on_commit(self, callback: Callable[[], Awaitable[object]]) -> None:
        """Call ``callback`` after the next commit; never after a rollback.

        It runs outside of the unit of work: what it has a storage write, that commits by itself.
        Its failure goes to the log: what was committed is not undone by it.
        """
        ...

    def before_commit(self, callback: Callable[[], Awaitable[object]]) -> None:
        """Call ``callback`` as the first step of the next commit; its failure prevents it."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[object]:
        """Undo, when the block raises, what the block did, and nothing before it."""
        ...

    def tracked(self) -> list[Any]:
        """Return the aggregates loaded or added, in that order."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
