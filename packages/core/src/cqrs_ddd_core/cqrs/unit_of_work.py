"""The unit of work: one transaction, the aggregates in it, and what happens around its commit."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from cqrs_ddd_core.cqrs.identity_map import IdentityMap
from cqrs_ddd_core.cqrs.repository import Repository
from cqrs_ddd_core.cqrs.scope import (
    Scope,
    bind,
    current_scope,
    outside_unit_of_work,
    unbind,
)
from cqrs_ddd_core.cqrs.scope_errors import (
    ForeignTaskError,
    ReadOnlyUnitOfWorkError,
    UnitOfWorkClosedError,
    UnitOfWorkDoomedError,
)
from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports.aggregate_gateway import IAggregateGateway

_log = logging.getLogger(__name__)

T = TypeVar("T")
Callback = Callable[[], Awaitable[object]]


class UnitOfWork(ABC):
    """Base of the unit of work of every store.

    A subclass for a store provides the gateways and the transaction; a subclass of yours declares
    repositories, and its body is the same on every store:

        class ShopUnitOfWork(InMemoryUnitOfWork):
            orders = repository(Order)

    It belongs to the task that entered it. Aggregates loaded or added are tracked, and written
    when they changed.
    """

    read_only: bool = False
    """Set by whoever opens it for a query: nothing is tracked, written or committed."""

    doomed: BaseException | None = None
    """The failure that makes a commit impossible, where one was caught on its way out."""

    committing: bool = False
    """Whether the commit has begun that cannot be taken back any more."""

    _closed: bool = False
    _owner: asyncio.Task[Any] | None = None
    _entered: tuple[Scope, Any] | None = None
    _repositories: dict[Any, Repository[Any, Any]] | None = None
    _identities: IdentityMap | None = None
    _before_commit: list[Callback] | None = None
    _on_commit: list[Callback] | None = None

    # -- what a store provides -----------------------------------------------------------------

    @abstractmethod
    def _gateway(self, aggregate_type: type[T], options: dict[str, Any]) -> IAggregateGateway[T]:
        """Return the gateway of this transaction for aggregates of this type."""

    @abstractmethod
    async def _commit(self) -> None:
        """Make what was written durable; the next statement begins a new transaction.

        Raises:
            ConcurrencyError: the store refuses because somebody else was first.
        """

    @abstractmethod
    async def _rollback(self) -> None:
        """Undo what was written since the last commit."""

    @abstractmethod
    async def _close(self) -> None:
        """Give back connections and the like."""

    @abstractmethod
    def _savepoint(self) -> AbstractAsyncContextManager[object]:
        """Return a block whose failure undoes what the store was told inside it."""

    # -- repositories and tracking -------------------------------------------------------------

    def repository_for(
        self, aggregate_type: type[T], *, key: object = None, **options: Any
    ) -> Repository[T, Any]:
        """Return the repository of this unit of work for aggregates of this type.

        Args:
            aggregate_type: the class of the aggregates.
            key: tells apart several repositories of one type.
            **options: what the store wants to know of the mapping, such as a table name.
        """
        if self._repositories is None:
            self._repositories = {}
        found = self._repositories.get(key or aggregate_type)
        if found is None:
            gateway = self._gateway(aggregate_type, options)
            found = self._repositories[key or aggregate_type] = Repository(self, gateway)
        return found

    @property
    def identities(self) -> IdentityMap:
        """The aggregates of this unit of work, each id one object."""
        if self._identities is None:
            self._identities = IdentityMap()
        return self._identities

    @property
    def has_tracked(self) -> bool:
        """Whether an aggregate has been loaded or added."""
        return self._identities is not None

    def tracked(self) -> list[Any]:
        """Return the aggregates loaded or added, in that order."""
        return self._identities.aggregates() if self._identities is not None else []

    def tracked_with_events(self, recorded: Iterable[object]) -> list[Any]:
        """Return the aggregates that may have events, given those that said so.

        An aggregate that is derived from ``AggregateRoot`` or its mixin says so by itself; one
        that is not is looked at each time.
        """
        return self._identities.with_events(recorded) if self._identities is not None else []

    def opened_by(self, task: asyncio.Task[Any] | None, read_only: bool) -> None:
        """Belong to ``task`` from now on; for a query, refuse every change."""
        self._owner, self.read_only = task, read_only

    def entered_as(self, scope: Scope) -> bool:
        """Whether ``async with`` on this unit of work opened ``scope``; a mediator did not."""
        return self._entered is not None and self._entered[0] is scope

    def ensure_usable(self) -> None:
        """Refuse a use after the end, or from a task that did not open this unit of work.

        Raises:
            UnitOfWorkClosedError: it has ended.
            ForeignTaskError: another task opened it.
        """
        if self._closed:
            raise UnitOfWorkClosedError
        if self._owner is not None and self._owner is not running_task():
            raise ForeignTaskError

    def ensure_writable(self) -> None:
        """Refuse a change where none can be made.

        Raises:
            ReadOnlyUnitOfWorkError: it was opened for a query.
        """
        self.ensure_usable()
        if self.read_only:
            raise ReadOnlyUnitOfWorkError

    # -- the transaction -----------------------------------------------------------------------

    async def flush(self) -> None:
        """Write changed aggregates inside the transaction, without ending it.

        Raises:
            ConcurrencyError: a change was made on a stale version.
        """
        if self._identities is not None and not self.read_only:
            self.ensure_usable()
            await self._identities.flush()

    async def commit(self) -> None:
        """Write what is pending and make it durable; the unit of work can be used on.

        Raises:
            ConcurrencyError: a change was made on a stale version, also when that shows only now.
            UnitOfWorkClosedError: it has ended.
            ForeignTaskError: another task opened it.
            UnitOfWorkDoomedError: something inside failed before and was caught.
        """
        self.ensure_usable()
        try:
            await self.finish()
        finally:
            self.committing = False  # it goes on

    async def finish(self) -> None:
        """Commit for whoever opened it and need not be asked: the mediator (see ``commit``)."""
        if self._before_commit is not None:
            await _call_all(self, "_before_commit")
        if self.doomed is not None:
            raise UnitOfWorkDoomedError(self.doomed) from self.doomed
        if self._identities is not None and not self.read_only:
            await self._identities.flush()
        self.committing = True
        await self._commit()
        if self._identities is not None:
            self._identities.committed()
        if self._on_commit is not None:
            # Nothing commits behind this commit: a storage that joined would lose what it wrote.
            with outside_unit_of_work():
                await _call_all(self, "_on_commit", guard=_logged)

    async def rollback(self) -> None:
        """Undo what was written since the last commit; aggregates are no longer tracked."""
        self._before_commit = self._on_commit = None
        if self._identities is not None:
            self._identities.rolled_back()
        await self._rollback()

    def close_at_once(self) -> bool:
        """Close without waiting where nothing is held; else return False: call ``close``."""
        return self._closed

    async def close(self) -> None:
        """Give back what it holds; what was not committed is undone."""
        if not self._closed:
            self._closed = True
            await self._close()

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """Undo, when the block raises, what the block did, and nothing before it.

        Aggregates go back to the state they had when the block began, in memory too; events that
        were raised in the block, and callbacks that it added, are dropped.
        """
        await self.flush()
        restores = [self.identities.remember()]
        scope = current_scope()
        if scope is not None and scope.uow is self:
            restores.append(scope.remember())
        before_commit, on_commit = self._before_commit, self._on_commit
        try:
            async with self._savepoint():
                yield
                await self.flush()
        except BaseException:
            for restore in restores:
                restore()
            self._before_commit, self._on_commit = before_commit, on_commit
            raise

    def before_commit(self, callback: Callback) -> None:
        """Call ``callback`` as the first step of the next commit; its failure prevents it."""
        self._before_commit = [*(self._before_commit or ()), callback]

    def on_commit(self, callback: Callback) -> None:
        """Call ``callback`` after the next commit; never after a rollback.

        It runs outside of the unit of work: what it has a storage write, that commits by itself.
        Its failure goes to the log: what was committed is not undone by it.
        """
        self._on_commit = [*(self._on_commit or ()), callback]

    async def __aenter__(self) -> Self:
        self.ensure_usable()
        self._entered = bind(self)
        self._owner = self._entered[0].task
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            try:
                if exc is None and not self.read_only:
                    await self.commit()
                    self.committing = True  # nothing follows that could be interrupted
            finally:
                await shielded(self._end())
        finally:
            if self._entered is not None:
                unbind(*self._entered)

    async def _end(self) -> None:
        """Roll back what no commit has taken, then close."""
        try:
            await self.rollback()
        finally:
            await (self._entered[0] if self._entered is not None else self).close()


def running_task() -> asyncio.Task[Any] | None:
    """Return the running task; None outside of any event loop, as in a worker thread."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


async def _call(callback: Callback) -> None:
    await callback()


async def _logged(callback: Callback) -> None:
    try:
        await callback()
    except Exception:  # noqa: BLE001 - the commit must not be taken for undone
        _log.exception("%r failed after the commit, which stands", callback)


async def _call_all(
    uow: UnitOfWork, queue: str, *, guard: Callable[[Callback], Awaitable[None]] = _call
) -> None:
    """Call what waits in a queue of callbacks, and what they add to it, each once."""
    while callbacks := getattr(uow, queue):
        setattr(uow, queue, None)
        for callback in callbacks:
            await guard(callback)
