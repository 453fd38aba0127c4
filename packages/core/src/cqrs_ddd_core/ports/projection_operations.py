"""The port of looking after projections: how they stand, what is parked, what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from cqrs_ddd_core.ports.projection_storage import ProjectionVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionStatus:
    """How a version of a projection stands.

    Attributes:
        version: the version.
        position: the checkpoint of its last partition: every event up to it has been considered.
        foremost: the checkpoint of its first partition.
        workers: how many workers are at work.
        retrying: how many keys are tried again by themselves.
        parked: how many keys wait for a person.
        waiting: how many events wait in blocked keys, failed ones included.
        age: seconds since it was begun, by the database.
    """

    version: ProjectionVersion
    position: int
    foremost: int
    workers: int
    retrying: int
    parked: int
    waiting: int
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedKey:
    """A key whose events wait for an event that failed.

    Attributes:
        version: where.
        key: the key.
        position: where the failed event stands in the feed.
        error: what went wrong.
        attempts: how often it was tried.
        failed_at: when it failed last.
        behind: how many later events of the key wait.
        retry_in: seconds until it is tried again by itself; None: when a person says so.
    """

    version: ProjectionVersion
    key: str
    position: int
    error: str
    attempts: int
    failed_at: datetime
    behind: int
    retry_in: float | None


@runtime_checkable
class IProjectionOperations(Protocol):
    """What people and their tools do with projections."""

    async def status(self, projection: str | None = None) -> Sequence[VersionStatus]:
        """Return how the versions of one projection or of all stand, by name and version."""
        ...

    async def rebuild(
        self, projection: str, *, partitions: int | None = None
    ) -> ProjectionVersion | None:
        """Begin a new version beside the live one; return it, or the one that is being built.

        Returns None when there is no such projection.
        """
        ...

    async def abandon(self, projection: str) -> bool:
        """Retire the version that is being built, unless its switch is planned; return whether."""
        ...

    async def pause(self, projection: str) -> bool:
        """Bring every version to rest; no batch commits after this has returned.

        Returns False when there is no such projection.
        """
        ...

    async def resume(self, projection: str) -> bool:
        """Have paused and stopped versions go on; False when there is no such projection."""
        ...

    async def parked(self, projection: str | None = None, limit: int = 100) -> Sequence[ParkedKey]:
        """Return at most ``limit`` blocked keys, those first that failed first."""
        ...

    async def retry(self, projection: str, keys: Sequence[str] | None = None) -> int:
        """Have blocked keys, these or all, tried again soon, from their failed events on.

        Returns how many there are.
        """
        ...
