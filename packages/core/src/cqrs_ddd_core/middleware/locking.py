"""Holds the locks a command asks for until its commit is done."""

from collections.abc import Callable, Sequence
from typing import Any

from cqrs_ddd_core.cqrs.concurrency import CriticalSection
from cqrs_ddd_core.cqrs.scope import Scope, open_scope
from cqrs_ddd_core.ports.lock_strategy import ILockStrategy
from cqrs_ddd_core.ports.middleware import NextHandler
from cqrs_ddd_core.primitives.ids import new_id
from cqrs_ddd_core.primitives.locking import ResourceIdentifier


def resources_of(message: Any) -> Sequence[ResourceIdentifier]:
    """Return what ``message`` asks to have locked."""
    ask: Callable[[], Sequence[ResourceIdentifier]] | None = getattr(
        message, "get_critical_resources", None
    )
    return ask() if ask is not None else ()


class ConcurrencyGuardMiddleware:
    """Lets one command at a time into what it names in ``get_critical_resources``.

    The locks are taken before the handler runs and given back after the commit or rollback of
    the whole unit of work, so the next holder sees what was committed. Commands of one unit of
    work share its locks; two units of work never do, whatever their correlation ids.

    A lock that is lost before the commit undoes the command, which fails with ``LockLostError``.
    One that is lost during the commit or after it goes to the log alone: the command succeeds or
    fails as its commit does, for a sender that was told of a failure would do the work twice.

    Args:
        lock_strategy: who grants the locks.
        timeout: seconds to wait for each of them.
        ttl: seconds a lock outlives its holder's death; renewed while it lives.
    """

    def __init__(
        self, lock_strategy: ILockStrategy, *, timeout: float = 10.0, ttl: float = 30.0
    ) -> None:
        self._locks, self._timeout, self._ttl = lock_strategy, timeout, ttl
        self._sessions: dict[Scope, str] = {}

    async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
        """Handle ``message`` under its locks."""
        resources = resources_of(message)
        if resources:
            scope = open_scope()
            section = CriticalSection(
                resources,
                self._locks,
                timeout=self._timeout,
                ttl=self._ttl,
                session_id=self._session_of(scope),
                may_interrupt=lambda: not scope.uow.committing,
            )
            await scope.exits.enter_async_context(section)
        return await next_handler(message)

    def _session_of(self, scope: Scope) -> str:
        """Return the session of a unit of work, like that of no other in any process."""
        session = self._sessions.get(scope)
        if session is None:
            session = self._sessions[scope] = f"uow-{new_id()}"
            scope.exits.callback(self._sessions.pop, scope)
        return session
