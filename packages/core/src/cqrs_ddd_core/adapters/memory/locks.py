"""Fair locks within one process."""

import asyncio
from collections import defaultdict, deque
from itertools import count

from cqrs_ddd_core.ports.lock_strategy import ActiveLock
from cqrs_ddd_core.primitives.clock import current_clock
from cqrs_ddd_core.primitives.locking import LockAcquisitionError, ResourceIdentifier

_Key = tuple[str, str]


class _Holder:
    """One grant; re-entrant acquisitions of its session share it."""

    __slots__ = ("depth", "expires_at", "resource", "session_id", "token")

    def __init__(
        self, resource: ResourceIdentifier, session_id: str | None, token: int, expires_at: float
    ) -> None:
        self.resource, self.session_id, self.token = resource, session_id, token
        self.expires_at, self.depth = expires_at, 1


class _Waiter:
    """Somebody in the queue."""

    __slots__ = ("granted", "resource", "session_id", "ttl")

    def __init__(self, resource: ResourceIdentifier, session_id: str | None, ttl: float) -> None:
        self.resource, self.session_id, self.ttl = resource, session_id, ttl
        self.granted: asyncio.Future[_Holder] = asyncio.get_running_loop().create_future()


class InMemoryLockStrategy:
    """Grants locks to the tasks of one event loop (see ``ILockStrategy``).

    Example:
        >>> async def lock_twice():
        ...     locks = InMemoryLockStrategy()
        ...     first = await locks.acquire(ResourceIdentifier("Order", "o-1"))
        ...     await first.release()
        ...     second = await locks.acquire(ResourceIdentifier("Order", "o-1"))
        ...     return second.fencing_token > first.fencing_token
        >>> asyncio.run(lock_twice())
        True
    """

    def __init__(self) -> None:
        self._holders: defaultdict[_Key, list[_Holder]] = defaultdict(list)
        self._queues: defaultdict[_Key, deque[_Waiter]] = defaultdict(deque)
        self._tokens = count(1)

    async def acquire(
        self,
        resource: ResourceIdentifier,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109
        ttl: float = 30.0,
        session_id: str | None = None,
    ) -> "InMemoryLease":
        """Wait up to ``timeout`` seconds, first come first served."""
        held = self._held_by(resource, session_id)
        if held is not None:
            held.depth += 1
            held.expires_at = max(held.expires_at, current_clock().monotonic() + ttl)
            return InMemoryLease(self, held, resource)
        waiter = _Waiter(resource, session_id, ttl)
        self._queues[resource.key].append(waiter)
        try:
            self._grant(resource.key)
            async with asyncio.timeout(timeout):
                holder = await self._wait(waiter)
        except BaseException as error:
            self._give_up(waiter)
            if isinstance(error, TimeoutError):
                raise LockAcquisitionError(resource, timeout, self._holder_name(resource)) from None
            raise
        return InMemoryLease(self, holder, resource)

    async def health_check(self) -> bool:
        """Whether locks can be granted now."""
        return True

    async def get_active_locks(self) -> list[ActiveLock]:
        """Return the locks held now."""
        now = current_clock().monotonic()
        return [
            ActiveLock(holder.resource, holder.token, holder.session_id, holder.expires_at - now)
            for holders in self._holders.values()
            for holder in holders
            if holder.expires_at > now
        ]

    def waiting(self, resource: ResourceIdentifier) -> int:
        """Return how many wait for ``resource``."""
        return len(self._queues.get(resource.key, ()))

    def is_held(self, holder: _Holder) -> bool:
        """Whether a grant still holds."""
        self._expire(holder.resource.key)
        return holder in self._holders.get(holder.resource.key, ())

    def give_back(self, holder: _Holder) -> None:
        """End one acquisition of a grant; with the last one, the grant."""
        if not self.is_held(holder):
            return
        holder.depth -= 1
        if holder.depth == 0:
            self._holders[holder.resource.key].remove(holder)
            self._grant(holder.resource.key)

    def _held_by(self, resource: ResourceIdentifier, session_id: str | None) -> _Holder | None:
        """Return the grant of this session that covers ``resource``."""
        self._expire(resource.key)
        if session_id is None:
            return None
        for holder in self._holders.get(resource.key, ()):
            covers = holder.resource.lock_mode == "write" or resource.lock_mode == "read"
            if holder.session_id == session_id and covers:
                return holder
        return None

    async def _wait(self, waiter: _Waiter) -> _Holder:
        """Wait to be granted; wake up when a holder's lease runs out."""
        key = waiter.resource.key
        while not waiter.granted.done():
            now = current_clock().monotonic()
            ends = [holder.expires_at - now for holder in self._holders[key]]
            await asyncio.wait([waiter.granted], timeout=max(0.0, min(ends, default=0.0)))
            self._grant(key)
        return waiter.granted.result()

    def _grant(self, key: _Key) -> None:
        """Grant to the front of the queue, as far as it is compatible with the holders."""
        self._expire(key)
        holders, queue = self._holders[key], self._queues[key]
        while queue and _compatible(queue[0], holders):
            waiter = queue.popleft()
            expires_at = current_clock().monotonic() + waiter.ttl
            holder = _Holder(waiter.resource, waiter.session_id, next(self._tokens), expires_at)
            holders.append(holder)
            waiter.granted.set_result(holder)
        if not holders and not queue:
            del self._holders[key], self._queues[key]

    def _expire(self, key: _Key) -> None:
        holders = self._holders.get(key)
        if holders:
            now = current_clock().monotonic()
            holders[:] = [holder for holder in holders if holder.expires_at > now]

    def _give_up(self, waiter: _Waiter) -> None:
        """Leave the queue; a lock granted at the last moment goes to the next."""
        key = waiter.resource.key
        if waiter.granted.done() and not waiter.granted.cancelled():
            self.give_back(waiter.granted.result())
        elif waiter in self._queues.get(key, ()):
            self._queues[key].remove(waiter)
        waiter.granted.cancel()
        self._grant(key)

    def _holder_name(self, resource: ResourceIdentifier) -> str | None:
        for holder in self._holders.get(resource.key, ()):
            return holder.session_id or f"the lease with fencing token {holder.token}"
        return None


class InMemoryLease:
    """A lock granted by ``InMemoryLockStrategy`` (see ``ILease``)."""

    def __init__(
        self, locks: InMemoryLockStrategy, holder: _Holder, resource: ResourceIdentifier
    ) -> None:
        self._locks, self._holder, self._released = locks, holder, False
        self.resource = resource

    @property
    def fencing_token(self) -> int:
        """Greater than that of every earlier lease of this resource."""
        return self._holder.token

    async def renew(self, ttl: float) -> bool:
        """Hold it for ``ttl`` seconds from now; False when it has been lost already."""
        if self._released or not self._locks.is_held(self._holder):
            return False
        self._holder.expires_at = current_clock().monotonic() + ttl
        return True

    async def release(self) -> None:
        """Give it back; no harm when it has been lost or given back already."""
        if not self._released:
            self._released = True
            self._locks.give_back(self._holder)


def _compatible(waiter: _Waiter, holders: list[_Holder]) -> bool:
    """Whether a lock can be held beside those that are."""
    if waiter.resource.lock_mode == "read":
        return all(holder.resource.lock_mode == "read" for holder in holders)
    return all(
        holder.session_id is not None and holder.session_id == waiter.session_id
        for holder in holders
    )
