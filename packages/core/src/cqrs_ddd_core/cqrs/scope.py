"""Binds the unit of work to the task that opened it."""

import asyncio
from collections.abc import Callable, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from contextvars import Token
from typing import TYPE_CHECKING, Any

from cqrs_ddd_core.cqrs.scope_errors import (
    ForeignTaskError,
    NoUnitOfWorkError,
    UnitOfWorkClosedError,
)
from cqrs_ddd_core.primitives.message_context import MessageContext, current_context

if TYPE_CHECKING:
    from cqrs_ddd_core.cqrs.event_queue import EventQueue
    from cqrs_ddd_core.cqrs.unit_of_work import UnitOfWork
    from cqrs_ddd_core.ports.handler_factory import IHandlerScope


class Scope(MessageContext):
    """One unit of work and the conversation it belongs to, from its opening to its end.

    Attributes:
        uow: the unit of work.
        task: the task that opened it, the only one that may use it.
        open: False from its end on, also for whoever still holds it.
        events: the events raised in it; None until there is one.
        handlers: where handler classes are made; None until one is needed.
        with_events: the aggregates that have recorded events since these were last taken.
        taken: the running handler's events that had to be taken before it returned.
    """

    __slots__ = ("_exits", "events", "handlers", "open", "taken", "task", "uow", "with_events")

    def __init__(
        self,
        uow: "UnitOfWork",
        task: "asyncio.Task[Any] | None",
        correlation_id: str | None = None,
        message_id: str | None = None,
    ) -> None:
        self.uow, self.task = uow, task
        self.correlation_id, self.message_id = correlation_id, message_id
        self.open = True
        self.events: EventQueue | None = None
        self.handlers: IHandlerScope | None = None
        self.with_events: list[object] | None = None  # a list costs too much for most scopes
        self.taken: Sequence[Any] = ()
        self._exits: AsyncExitStack | None = None

    def event_recorded(self, aggregate: object) -> None:
        """Remember an aggregate that has an event to tell, so that nobody has to look for it."""
        if self.with_events is None:
            self.with_events = [aggregate]
        else:
            self.with_events.append(aggregate)

    def remember(self) -> Callable[[], None]:
        """Return a function that brings the events and the fate back to what they are now."""
        events, taken = self.events.remember() if self.events is not None else None, self.taken
        doomed = self.uow.doomed

        def restore() -> None:
            self.events, self.taken, self.uow.doomed = events, taken, doomed

        return restore

    @property
    def exits(self) -> AsyncExitStack:
        """What must end with the scope, right after its commit or rollback: locks and the like."""
        if self._exits is None:
            self._exits = AsyncExitStack()
        return self._exits

    def close_at_once(self) -> bool:
        """End without waiting where nothing has to be given back; else False, and ``close``."""
        if self._exits is not None or not self.uow.close_at_once():
            return False
        self.open = False
        return True

    async def close(self) -> None:
        """End the unit of work, then all that was to end with it."""
        self.open = False
        try:
            await self.uow.close()
        finally:
            if self._exits is not None:
                await self._exits.aclose()


def bind(uow: "UnitOfWork") -> "tuple[Scope, Token[MessageContext | None]]":
    """Make ``uow`` the current one of this task."""
    outer = current_context.get()
    ids = (outer.correlation_id, outer.message_id) if outer is not None else (None, None)
    scope = Scope(uow, asyncio.current_task(), *ids)
    return scope, current_context.set(scope)


def unbind(scope: Scope, token: "Token[MessageContext | None]") -> None:
    """Bring back what was current before ``bind``."""
    scope.open = False
    current_context.reset(token)


@contextmanager
def outside_unit_of_work() -> Generator[None]:
    """Go on with the conversation, but with no unit of work, inside the block."""
    inner = current_context.get()
    ids = (inner.correlation_id, inner.message_id) if inner is not None else (None, None)
    token = current_context.set(MessageContext(*ids))
    try:
        yield
    finally:
        current_context.reset(token)


def current_scope() -> Scope | None:
    """Return the open scope of this very task; None where this task has none."""
    context = current_context.get()
    if not isinstance(context, Scope) or not context.open:
        return None
    return context if context.task is asyncio.current_task() else None


def unit_of_work_to_join() -> "UnitOfWork | None":
    """Return the unit of work that a storage joins; None where no message is handled.

    A task that was started while one is handled has none of its own, and what a storage wrote there
    by itself would stand even if the message failed: it is refused.

    Raises:
        UnitOfWorkClosedError: what was being handled has ended.
        ForeignTaskError: it is being handled by another task.
    """
    return open_scope().uow if isinstance(current_context.get(), Scope) else None


def get_current_uow() -> Any:
    """Return the unit of work of the message that is being handled.

    Raises:
        NoUnitOfWorkError: nothing is being handled here.
        UnitOfWorkClosedError: what was being handled has ended.
        ForeignTaskError: it is being handled by another task.
    """
    return open_scope().uow


def open_scope() -> Scope:
    """Return the open scope of this task, or raise what ``get_current_uow`` raises."""
    context = current_context.get()
    if not isinstance(context, Scope):
        raise NoUnitOfWorkError
    if not context.open:
        raise UnitOfWorkClosedError
    try:
        task = asyncio.current_task()
    except RuntimeError:  # a worker thread has no running loop
        raise ForeignTaskError from None
    if context.task is not task:
        raise ForeignTaskError
    return context
