"""A block of code that holds locks."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports.lock_strategy import ILease, ILockStrategy
from cqrs_ddd_core.primitives.clock import current_clock
from cqrs_ddd_core.primitives.locking import LockLostError, ResourceIdentifier

_log = logging.getLogger(__name__)


class CriticalSection:
    """Holds the locks on all ``resources`` from the beginning of the block to its end.

    They are acquired in one global order, so two sections cannot wait for each other, and all or
    none of them. Leases are renewed while the block runs. When one is lost all the same, the
    block is cancelled and ``LockLostError`` raised.

    Args:
        resources: what to lock; named twice, the exclusive mode wins.
        lock_strategy: who grants the locks.
        timeout: seconds to wait for each lock.
        ttl: seconds a lock outlives its holder's death.
        session_id: sections with the same one may be nested in each other.
        may_interrupt: asked when a lock is lost; where it says no, because the work cannot be
            taken back any more, the loss goes to the log and the block is left alone.

    Attributes:
        fencing_tokens: the token of each lock, by resource.

    Example:
        >>> from cqrs_ddd_core import InMemoryLockStrategy
        >>> async def transfer():
        ...     accounts = [ResourceIdentifier("Account", "b"), ResourceIdentifier("Account", "a")]
        ...     async with CriticalSection(accounts, InMemoryLockStrategy()) as section:
        ...         return [str(account) for account in section.fencing_tokens]
        >>> asyncio.run(transfer())
        ['Account/a', 'Account/b']
    """

    def __init__(
        self,
        resources: Iterable[ResourceIdentifier],
        lock_strategy: ILockStrategy,
        *,
        timeout: float = 10.0,
        ttl: float = 30.0,
        session_id: str | None = None,
        may_interrupt: Callable[[], bool] = lambda: True,
    ) -> None:
        self._resources = _in_order(resources)
        self._locks, self._timeout, self._ttl = lock_strategy, timeout, ttl
        self._session_id, self._may_interrupt = session_id, may_interrupt
        self._leases: list[ILease] = []
        self._task: asyncio.Task[Any] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._lost: LockLostError | None = None
        self._ends_at: dict[ResourceIdentifier, float] = {}

    @property
    def fencing_tokens(self) -> dict[ResourceIdentifier, int]:
        """The token of each lock held."""
        return {lease.resource: lease.fencing_token for lease in self._leases}

    async def __aenter__(self) -> Self:
        try:
            for resource in self._resources:
                lease = await self._locks.acquire(
                    resource, timeout=self._timeout, ttl=self._ttl, session_id=self._session_id
                )
                self._leases.append(lease)
                self._ends_at[lease.resource] = current_clock().monotonic() + self._ttl
        except BaseException:
            await shielded(self._release())
            raise
        self._task = asyncio.current_task()
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await shielded(self._release())
        if self._lost is not None:
            if self._task is not None:
                self._task.uncancel()
            raise self._lost from exc

    async def _renew(self) -> None:
        """Renew each lease three times in its life, as long as the section lasts."""
        while True:
            await asyncio.sleep(self._ttl / 3)
            for lease in self._leases:
                if not await self._is_renewed(lease):
                    self._lose(lease)
                    return

    def _lose(self, lease: ILease) -> None:
        """Interrupt the block, unless what it did cannot be undone any more."""
        if not self._may_interrupt():
            _log.warning(
                "The lock on %s (fencing token %d) was lost while its work was being committed or "
                "after that; the work is done. Give the lock a longer ttl if this happens often.",
                lease.resource,
                lease.fencing_token,
            )
            return
        self._lost = LockLostError(lease.resource, lease.fencing_token)
        if self._task is not None:
            self._task.cancel()

    async def _is_renewed(self, lease: ILease) -> bool:
        """Whether a lease still holds; a lock server that fails may be back before it ends."""
        ends_at = current_clock().monotonic() + self._ttl
        try:
            renewed = await lease.renew(self._ttl)
        except Exception:  # noqa: BLE001 - whatever it is, the lease may still hold
            _log.warning("The lock on %s could not be renewed", lease.resource, exc_info=True)
            return current_clock().monotonic() < self._ends_at[lease.resource]
        self._ends_at[lease.resource] = ends_at
        return renewed

    async def _release(self) -> None:
        """Give every lease back; one that cannot be given back ends by itself."""
        if self._renewing is not None:
            self._renewing.cancel()
        for lease in reversed(self._leases):
            try:
                await lease.release()
            except Exception:  # noqa: BLE001 - the others must be given back all the same
                _log.warning("%s could not be unlocked; its lease ends by itself", lease.resource)


def _in_order(resources: Iterable[ResourceIdentifier]) -> list[ResourceIdentifier]:
    """Return each resource once, in the global order; to write wins over to read."""
    by_key: dict[tuple[str, str], ResourceIdentifier] = {}
    for resource in resources:
        present = by_key.get(resource.key)
        if present is None or present.lock_mode == "read":
            by_key[resource.key] = resource
    return sorted(by_key.values())
