"""The port of a projection's memory: versions, checkpoints, leases, keys that are blocked."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable
from zlib import crc32

from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.errors import InfrastructureError


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key, from 0 to ``partitions - 1``; the same one for ever."""
    return crc32(key.encode()) % partitions


class ProjectionLeaseLostError(InfrastructureError):
    """A worker's partitions may be another's, or their checkpoint has moved; nothing was changed.

    Attributes:
        projection: the projection's name.
        version: the version of its read model.
        epoch: the lease that no longer counts.
    """

    def __init__(self, projection: str, version: int, epoch: int) -> None:
        self.projection, self.version, self.epoch = projection, version, epoch
        super().__init__(
            f"Lease {epoch} of {projection!r} version {version} no longer counts; what this batch "
            "wrote is undone. The worker joins again and goes on from the stored checkpoints."
        )


class VersionState(StrEnum):
    """What a version of a read model is for."""

    BUILDING = "building"
    """It catches up beside the live one."""
    LIVE = "live"
    """It is the one that is read."""
    RETIRED = "retired"
    """It was the live one; it finishes what the switch left to it and is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionVersion:
    """One version of a projection's read model.

    Attributes:
        projection: the projection's name.
        version: counts from 1; part of the names of the version's tables.
        revision: which revision of the handlers feeds it.
        partitions: into how many parts its keys are divided.
        state: building, live or retired.
        created_at: when it was begun, by the database.
        is_paused: whether a person has paused it.
        error: what it has stopped at, with the position; None while it has not.
        effects_after: side effects are for events behind this position; None: for none yet.
        ends_at: the last position that it considers; None: there is none.
    """

    projection: str
    version: int
    revision: int
    partitions: int
    state: VersionState
    created_at: datetime
    is_paused: bool = False
    error: str | None = None
    effects_after: int | None = None
    ends_at: int | None = None

    @property
    def at_rest(self) -> bool:
        """Whether its workers have been told to do nothing."""
        return self.is_paused or self.error is not None

    def __str__(self) -> str:
        return f"{self.projection} v{self.version}"


class PartitionLease(NamedTuple):
    """What a worker holds of a version.

    Attributes:
        epoch: names the lease; greater than that of every earlier one. Checkpoints refuse others.
        version: how the version stands.
        positions: the checkpoint of each partition that is held.
        workers: how many workers share the partitions.
        bound: the last position that may be considered now; None: all.
    """

    epoch: int
    version: ProjectionVersion
    positions: Mapping[int, int]
    workers: int
    bound: int | None = None


class FailedEvent(NamedTuple):
    """An event that could not be applied, and what becomes of its key.

    Attributes:
        position: where it stands in the feed.
        key: the key that is blocked until it succeeds.
        error: what went wrong.
        attempts: how often it was tried.
        retry_in: seconds until it is tried again; None parks it until a person has it retried.
    """

    position: int
    key: str
    error: str
    attempts: int
    retry_in: float | None


class WaitingKey(NamedTuple):
    """A key whose events wait.

    Attributes:
        key: the key.
        partition: where it belongs.
        position: the event that failed.
        attempts: how often it was tried.
    """

    key: str
    partition: int
    position: int
    attempts: int


@runtime_checkable
class IProjectionStorage(Protocol):
    """Remembers how far each projection has come, and shares its partitions out to workers.

    A checkpoint is one position for each partition. ``advance``, ``block``, ``wait_behind`` and
    ``settle`` join the unit of work that is given or current, so that they commit together with the
    read model or not at all. Everything else is a short transaction of its own. Leases end by the
    store's clock, so a worker that dies blocks its partitions for ``ttl`` seconds at most.
    """

    async def declare(
        self, projection: str, *, revision: int, partitions: int, position: int
    ) -> Sequence[ProjectionVersion]:
        """Make sure that there is a version for handlers of ``revision``; return all versions.

        The first version is live at once, with side effects for events behind ``position``. A
        greater revision than that of every version begins a rebuild.
        """
        ...

    async def versions(self, projection: str | None = None) -> Sequence[ProjectionVersion]:
        """Return the versions of one projection or of all, by name and version."""
        ...

    async def renew(
        self, version: ProjectionVersion, epoch: int | None, worker: str, ttl: float
    ) -> PartitionLease | None:
        """Join (``epoch`` None) or extend the lease, and take free partitions up to a fair share.

        A worker whose lease has run out, or was ended by an operation, gets a new epoch and what is
        free then. Returns None when the version is gone. A version at rest gives out no partition.
        """
        ...

    async def release(
        self, version: ProjectionVersion, epoch: int, partitions: Collection[int] | None = None
    ) -> None:
        """Give partitions up for others to take; None gives up all and leaves."""
        ...

    async def advance(
        self,
        version: ProjectionVersion,
        epoch: int,
        partitions: Collection[int],
        *,
        after: int,
        position: int,
        uow: IUnitOfWork | None = None,
    ) -> None:
        """Move the checkpoint of ``partitions`` from ``after`` to ``position``.

        Called first in a transaction it also keeps others out until the end of it.

        Raises:
            ProjectionLeaseLostError: now or at commit, when one of them is not held by ``epoch`` or
                not at ``after``.
        """
        ...

    async def blocked(
        self, version: ProjectionVersion, partitions: Collection[int]
    ) -> Sequence[WaitingKey]:
        """Return the keys of ``partitions`` whose events wait."""
        ...

    async def due(
        self, version: ProjectionVersion, partitions: Collection[int], limit: int = 100
    ) -> Sequence[WaitingKey]:
        """Return those blocked keys whose event is to be tried again now, the longest due first."""
        ...

    async def waiting(
        self, version: ProjectionVersion, key: str, limit: int = 100
    ) -> Sequence[int]:
        """Return the positions of the events of a blocked key, in order, the failed one first."""
        ...

    async def block(
        self, version: ProjectionVersion, failed: FailedEvent, uow: IUnitOfWork | None = None
    ) -> None:
        """Block a key at an event that failed, or note that it failed again."""
        ...

    async def wait_behind(
        self,
        version: ProjectionVersion,
        events: Sequence[tuple[int, str]],
        uow: IUnitOfWork | None = None,
    ) -> None:
        """Have events, position and key of each, wait behind the failed ones of their keys."""
        ...

    async def settle(
        self,
        version: ProjectionVersion,
        key: str,
        positions: Sequence[int],
        uow: IUnitOfWork | None = None,
    ) -> bool:
        """Forget events of a blocked key that were applied; return whether the key is free."""
        ...

    async def stop(self, version: ProjectionVersion, epoch: int, error: str) -> None:
        """Bring every worker of ``version`` to rest until ``resume``; nothing at a lost epoch."""
        ...

    async def plan_switch(self, version: ProjectionVersion, tolerance: int) -> bool:
        """Fix the position at which a version that has almost caught up takes over.

        Every event up to that position is the old version's, with its side effects; every later one
        is the new version's. Returns False while the new one is more than ``tolerance`` positions
        behind, or has blocked keys that the old one has not.
        """
        ...

    async def complete_switch(
        self, version: ProjectionVersion, uow: IUnitOfWork | None = None
    ) -> bool:
        """Make ``version`` the live one and retire the old one; joins the unit of work.

        Returns False, and changes nothing, before it has reached the position of the plan.
        """
        ...

    async def is_finished(self, version: ProjectionVersion) -> bool:
        """Whether a retired version has reached its end, or nobody works on it."""
        ...

    async def forget(self, version: ProjectionVersion) -> None:
        """Remove a version, with its checkpoints and blocked keys."""
        ...

    async def position(self, projection: str) -> int | None:
        """Return the checkpoint of the live version, of its last partition; None without one."""
        ...
