"""Names of what can be locked, and how locking goes wrong."""

from dataclasses import dataclass
from typing import Literal

from cqrs_ddd_core.primitives.errors import CQRSDDDError

LockMode = Literal["write", "read"]


@dataclass(frozen=True, slots=True, order=True)
class ResourceIdentifier:
    """Names one thing to be locked: exclusively to write it, shared to read it.

    Ordered by type and id, the one order in which several are acquired.

    Example:
        >>> str(ResourceIdentifier("Order", "o-1"))
        'Order/o-1'
    """

    resource_type: str
    resource_id: str
    lock_mode: LockMode = "write"

    @property
    def key(self) -> tuple[str, str]:
        """What is locked, whatever the mode."""
        return self.resource_type, self.resource_id

    def __str__(self) -> str:
        return f"{self.resource_type}/{self.resource_id}"


class LockAcquisitionError(CQRSDDDError):
    """A lock was not granted in time.

    Attributes:
        resource: what was to be locked.
        timeout: how long was waited, in seconds.
        holder: who has it, where that is known.
    """

    def __init__(
        self, resource: ResourceIdentifier, timeout: float, holder: str | None = None
    ) -> None:
        self.resource, self.timeout, self.holder = resource, timeout, holder
        by = f" It is held by {holder}." if holder else ""
        super().__init__(
            f"{resource} could not be locked within {timeout:g} s.{by} Wait longer, or hold locks "
            "for a shorter time."
        )


class LockLostError(CQRSDDDError):
    """A lease ended while its holder was still at work, so somebody else may have it now.

    Attributes:
        resource: what was locked.
        fencing_token: the token of the lease that ended.
    """

    def __init__(self, resource: ResourceIdentifier, fencing_token: int) -> None:
        self.resource, self.fencing_token = resource, fencing_token
        super().__init__(
            f"The lock on {resource} (fencing token {fencing_token}) was lost. What was not "
            "committed has been undone; repeat the work, and give the lock a longer ttl if this "
            "happens often."
        )
