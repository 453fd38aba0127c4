"""The port of locks that are leases."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cqrs_ddd_core.primitives.locking import ResourceIdentifier


@runtime_checkable
class ILease(Protocol):
    """A lock that was granted, until it is released or runs out."""

    @property
    def resource(self) -> ResourceIdentifier:
        """What is locked."""
        ...

    @property
    def fencing_token(self) -> int:
        """Greater than that of every earlier exclusive lease of this resource."""
        ...

    async def renew(self, ttl: float) -> bool:
        """Hold it for ``ttl`` seconds from now; False when it has been lost already."""
        ...

    async def release(self) -> None:
        """Give it back; no harm when it has been lost or given back already."""
        ...


@dataclass(frozen=True, slots=True)
class ActiveLock:
    """A lock that is held now, for people to look at.

    Attributes:
        remaining: seconds until it runs out unless renewed.
    """

    resource: ResourceIdentifier
    fencing_token: int
    session_id: str | None
    remaining: float


@runtime_checkable
class ILockStrategy(Protocol):
    """Access to named resources, exclusive or shared, across tasks, processes and machines.

    A granted lock is a lease: it ends by itself after ``ttl`` seconds unless renewed, so a holder
    that dies blocks nobody for ever. Each grant carries a fencing token, greater than every earlier
    exclusive one for that resource; a store that checks it refuses a holder whose lease has passed.
    """

    async def acquire(
        self,
        resource: ResourceIdentifier,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109 - it ends the wait for the lock, not the call
        ttl: float = 30.0,
        session_id: str | None = None,
    ) -> ILease:
        """Wait up to ``timeout`` seconds, first come first served.

        Readers share; a writer is alone. A reader that comes behind a waiting writer waits behind
        it. Who holds a lock under a ``session_id`` is granted it again under the same one.

        Raises:
            LockAcquisitionError: not granted in time; ``.holder`` names who has it, when known.
        """
        ...

    async def health_check(self) -> bool:
        """Whether locks can be granted now."""
        ...

    async def get_active_locks(self) -> list[ActiveLock]:
        """Return the locks held now."""
        ...
