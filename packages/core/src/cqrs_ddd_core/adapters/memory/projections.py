"""The memory of projections, in memory."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cqrs_ddd_core.adapters.memory.joining import joined_transaction, run_or_stage
from cqrs_ddd_core.ports.projection_operations import ParkedKey, VersionStatus
from cqrs_ddd_core.ports.projection_storage import (
    FailedEvent,
    PartitionLease,
    ProjectionLeaseLostError,
    ProjectionVersion,
    VersionState,
    WaitingKey,
    partition_of,
)
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now


@dataclass
class _Partition:
    position: int = 0
    epoch: int | None = None


@dataclass
class _Blocked:
    failed: FailedEvent
    failed_at: datetime
    due_at: datetime | None


@dataclass
class _Kept:
    """All that is remembered of a version."""

    version: ProjectionVersion
    partitions: list[_Partition]
    workers: dict[int, datetime] = field(default_factory=dict[int, datetime])
    blocked: dict[str, _Blocked] = field(default_factory=dict[str, _Blocked])
    waiting: dict[int, str] = field(default_factory=dict[int, str])

    @property
    def position(self) -> int:
        return min(partition.position for partition in self.partitions)

    @property
    def foremost(self) -> int:
        return max(partition.position for partition in self.partitions)

    def alive(self) -> set[int]:
        return {epoch for epoch, until in self.workers.items() if until > utc_now()}

    def end_leases(self) -> None:
        for partition in self.partitions:
            partition.epoch = None
        self.workers.clear()


def _nothing() -> None:
    """There is no condition."""


class InMemoryProjectionStorage:
    """Checkpoints, leases and blocked keys; joins an ``InMemoryUnitOfWork``.

    See ``IProjectionStorage`` and ``IProjectionOperations``.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], _Kept] = {}
        self._epochs = 0

    # -- versions ------------------------------------------------------------------------------

    async def declare(
        self, projection: str, *, revision: int, partitions: int, position: int
    ) -> Sequence[ProjectionVersion]:
        """Make sure that there is a version for handlers of ``revision``; return all versions."""
        known = self._of(projection)
        if not known:
            self._begin(projection, revision, partitions, VersionState.LIVE, position)
        elif revision > max(kept.version.revision for kept in known):
            self._begin(projection, revision, partitions, VersionState.BUILDING, None)
        return await self.versions(projection)

    async def versions(self, projection: str | None = None) -> Sequence[ProjectionVersion]:
        """Return the versions of one projection or of all, by name and version."""
        return [kept.version for kept in self._of(projection)]

    async def rebuild(
        self, projection: str, *, partitions: int | None = None
    ) -> ProjectionVersion | None:
        """Begin a new version beside the live one; return it, or the one that is being built."""
        building = self._in(projection, VersionState.BUILDING)
        live = self._in(projection, VersionState.LIVE)
        if building is not None or live is None:
            return building.version if building is not None else None
        of_live = live.version
        return self._begin(
            projection,
            of_live.revision,
            partitions or of_live.partitions,
            VersionState.BUILDING,
            None,
        )

    async def abandon(self, projection: str) -> bool:
        """Retire the version that is being built, unless its switch is planned."""
        building = self._in(projection, VersionState.BUILDING)
        if building is None or building.version.effects_after is not None:
            return False
        building.version = replace(building.version, state=VersionState.RETIRED, ends_at=0)
        building.end_leases()
        return True

    async def forget(self, version: ProjectionVersion) -> None:
        """Remove a version, with its checkpoints and blocked keys."""
        self._kept.pop((version.projection, version.version), None)

    def _begin(
        self,
        projection: str,
        revision: int,
        partitions: int,
        state: VersionState,
        effects_after: int | None,
    ) -> ProjectionVersion:
        last = max((kept.version.version for kept in self._of(projection)), default=0)
        version = ProjectionVersion(
            projection=projection,
            version=last + 1,
            revision=revision,
            partitions=partitions,
            state=state,
            created_at=utc_now(),
            effects_after=effects_after,
        )
        fresh = [_Partition() for _ in range(partitions)]
        self._kept[projection, version.version] = _Kept(version, fresh)
        return version

    def _of(self, projection: str | None) -> list[_Kept]:
        return [self._kept[key] for key in sorted(self._kept) if projection in {None, key[0]}]

    def _in(self, projection: str, state: VersionState) -> _Kept | None:
        found = (kept for kept in self._of(projection) if kept.version.state is state)
        return next(found, None)

    def _find(self, version: ProjectionVersion) -> _Kept | None:
        return self._kept.get((version.projection, version.version))

    # -- leases and checkpoints ----------------------------------------------------------------

    async def renew(
        self,
        version: ProjectionVersion,
        epoch: int | None,
        worker: str,  # noqa: ARG002 - nobody looks into memory
        ttl: float,
    ) -> PartitionLease | None:
        """Join or extend the lease, and take free partitions up to a fair share."""
        kept = self._find(version)
        if kept is None:
            return None
        alive = kept.alive()
        if epoch not in alive:
            self._epochs += 1
            epoch = self._epochs
        assert epoch is not None
        kept.workers = {each: kept.workers[each] for each in alive}
        kept.workers[epoch] = utc_now() + timedelta(seconds=ttl)
        if not kept.version.at_rest:
            fair = -(-len(kept.partitions) // len(kept.workers))
            held = sum(partition.epoch == epoch for partition in kept.partitions)
            free = (each for each in kept.partitions if each.epoch not in kept.workers)
            for partition, _ in zip(free, range(fair - held), strict=False):
                partition.epoch = epoch
        positions = {
            number: each.position
            for number, each in enumerate(kept.partitions)
            if each.epoch == epoch
        }
        return PartitionLease(
            epoch, kept.version, positions, len(kept.workers), self._bound(kept.version)
        )

    def _bound(self, version: ProjectionVersion) -> int | None:
        """Return how far a version may go: while it is built, not beyond the live one."""
        live = self._in(version.projection, VersionState.LIVE)
        if version.state is not VersionState.BUILDING or version.effects_after is not None:
            return version.ends_at
        return live.foremost if live is not None else None

    async def release(
        self, version: ProjectionVersion, epoch: int, partitions: Collection[int] | None = None
    ) -> None:
        """Give partitions up for others to take; None gives up all and leaves."""
        kept = self._find(version)
        if kept is None:
            return
        for number, partition in enumerate(kept.partitions):
            if partition.epoch == epoch and (partitions is None or number in partitions):
                partition.epoch = None
        if partitions is None:
            kept.workers.pop(epoch, None)

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
        """Move the checkpoint of ``partitions`` from ``after`` to ``position``."""
        transaction = joined_transaction(uow, to_write=True)

        def check() -> None:
            kept = self._find(version)
            held = _Partition(after, epoch)
            if kept is None or any(kept.partitions[number] != held for number in partitions):
                raise ProjectionLeaseLostError(version.projection, version.version, epoch)

        def apply() -> None:
            for number in partitions:
                self._require(version).partitions[number].position = position

        check()
        run_or_stage(transaction, apply, check)

    async def position(self, projection: str) -> int | None:
        """Return the checkpoint of the live version, of its last partition."""
        live = self._in(projection, VersionState.LIVE)
        return None if live is None else live.position

    # -- blocked keys --------------------------------------------------------------------------

    async def blocked(
        self, version: ProjectionVersion, partitions: Collection[int]
    ) -> Sequence[WaitingKey]:
        """Return the keys of ``partitions`` whose events wait."""
        kept = self._find(version)
        found = [] if kept is None else [_as_key(kept, each) for each in kept.blocked.values()]
        return [key for key in found if key.partition in partitions]

    async def due(
        self, version: ProjectionVersion, partitions: Collection[int], limit: int = 100
    ) -> Sequence[WaitingKey]:
        """Return those blocked keys whose event is to be tried again now."""
        kept, now = self._find(version), utc_now()
        if kept is None:
            return []
        due = [(each.due_at, each) for each in kept.blocked.values() if each.due_at is not None]
        soonest = sorted(
            (entry for entry in due if entry[0] <= now),
            key=lambda entry: (entry[0], entry[1].failed.position),
        )
        keys = (_as_key(kept, each) for _, each in soonest)
        return [key for key in keys if key.partition in partitions][:limit]

    async def waiting(
        self, version: ProjectionVersion, key: str, limit: int = 100
    ) -> Sequence[int]:
        """Return the positions of the events of a blocked key, in order."""
        kept = self._find(version)
        waiting = {} if kept is None else kept.waiting
        return sorted(position for position, owner in waiting.items() if owner == key)[:limit]

    async def block(
        self, version: ProjectionVersion, failed: FailedEvent, uow: IUnitOfWork | None = None
    ) -> None:
        """Block a key at an event that failed, or note that it failed again."""
        now = utc_now()
        due_at = None if failed.retry_in is None else now + timedelta(seconds=failed.retry_in)

        def apply() -> None:
            kept = self._require(version)
            kept.blocked[failed.key] = _Blocked(failed, now, due_at)
            kept.waiting[failed.position] = failed.key

        run_or_stage(joined_transaction(uow, to_write=True), apply, _nothing)

    async def wait_behind(
        self,
        version: ProjectionVersion,
        events: Sequence[tuple[int, str]],
        uow: IUnitOfWork | None = None,
    ) -> None:
        """Have events wait behind the failed ones of their keys."""
        self._stage(uow, lambda: self._require(version).waiting.update(events))

    async def settle(
        self,
        version: ProjectionVersion,
        key: str,
        positions: Sequence[int],
        uow: IUnitOfWork | None = None,
    ) -> bool:
        """Forget events of a blocked key that were applied; return whether the key is free."""
        kept = self._require(version)
        left = {p for p, owner in kept.waiting.items() if owner == key} - set(positions)

        def apply() -> None:
            for position in positions:
                kept.waiting.pop(position, None)
            if not left:
                kept.blocked.pop(key, None)

        self._stage(uow, apply)
        return not left

    def _stage(self, uow: IUnitOfWork | None, apply: Callable[[], None]) -> None:
        run_or_stage(joined_transaction(uow, to_write=True), apply, _nothing)

    def _require(self, version: ProjectionVersion) -> _Kept:
        kept = self._find(version)
        if kept is None:
            raise ProjectionLeaseLostError(version.projection, version.version, 0)
        return kept

    # -- rest and switch -----------------------------------------------------------------------

    async def stop(self, version: ProjectionVersion, epoch: int, error: str) -> None:
        """Bring every worker of ``version`` to rest until ``resume``."""
        kept = self._find(version)
        if kept is not None and epoch in kept.workers:
            kept.version = replace(kept.version, error=error)
            kept.end_leases()

    async def pause(self, projection: str) -> bool:
        """Bring every version to rest; no batch commits after this has returned."""
        for kept in self._of(projection):
            kept.version = replace(kept.version, is_paused=True)
            kept.end_leases()
        return bool(self._of(projection))

    async def resume(self, projection: str) -> bool:
        """Have paused and stopped versions go on."""
        for kept in self._of(projection):
            kept.version = replace(kept.version, is_paused=False, error=None)
        return bool(self._of(projection))

    async def plan_switch(self, version: ProjectionVersion, tolerance: int) -> bool:
        """Fix the position at which a version that has almost caught up takes over."""
        new, old = self._find(version), self._in(version.projection, VersionState.LIVE)
        if new is None or old is None or new.version.state is not VersionState.BUILDING:
            return False
        if new.version.effects_after is not None:
            return True
        is_behind = old.foremost - new.position > tolerance
        if is_behind or not new.blocked.keys() <= old.blocked.keys():
            return False
        end = old.foremost
        new.version = replace(new.version, effects_after=end)
        old.version = replace(old.version, ends_at=end)
        new.end_leases()
        old.end_leases()
        return True

    async def complete_switch(
        self, version: ProjectionVersion, uow: IUnitOfWork | None = None
    ) -> bool:
        """Make ``version`` the live one and retire the old one."""
        new = self._find(version)
        if new is None or new.version.effects_after is None:
            return False
        if new.version.state is not VersionState.BUILDING:
            return new.version.state is VersionState.LIVE
        if new.position < new.version.effects_after:
            return False

        def apply() -> None:
            old = self._in(version.projection, VersionState.LIVE)
            if old is not None and old is not new:
                old.version = replace(old.version, state=VersionState.RETIRED)
            new.version = replace(new.version, state=VersionState.LIVE)

        self._stage(uow, apply)
        return True

    async def is_finished(self, version: ProjectionVersion) -> bool:
        """Whether a retired version has dealt with everything up to its end."""
        kept = self._find(version)
        if kept is None or kept.version.state is not VersionState.RETIRED:
            return False
        return not kept.alive() or kept.position >= (kept.version.ends_at or 0)

    # -- operations ----------------------------------------------------------------------------

    async def status(self, projection: str | None = None) -> Sequence[VersionStatus]:
        """Return how the versions of one projection or of all stand."""
        return [
            VersionStatus(
                version=kept.version,
                position=kept.position,
                foremost=kept.foremost,
                workers=len(kept.alive()),
                retrying=sum(each.due_at is not None for each in kept.blocked.values()),
                parked=sum(each.due_at is None for each in kept.blocked.values()),
                waiting=len(kept.waiting),
                age=(utc_now() - kept.version.created_at).total_seconds(),
            )
            for kept in self._of(projection)
        ]

    async def parked(self, projection: str | None = None, limit: int = 100) -> Sequence[ParkedKey]:
        """Return at most ``limit`` blocked keys, those first that failed first."""
        found = [
            ParkedKey(
                version=kept.version,
                key=key,
                position=each.failed.position,
                error=each.failed.error,
                attempts=each.failed.attempts,
                failed_at=each.failed_at,
                behind=sum(owner == key for owner in kept.waiting.values()) - 1,
                retry_in=each.due_at and (each.due_at - utc_now()).total_seconds(),
            )
            for kept in self._of(projection)
            for key, each in kept.blocked.items()
        ]
        return sorted(found, key=lambda entry: (entry.failed_at, entry.position))[:limit]

    async def retry(self, projection: str, keys: Sequence[str] | None = None) -> int:
        """Have blocked keys, these or all, tried again soon."""
        chosen = [
            each
            for kept in self._of(projection)
            for key, each in kept.blocked.items()
            if keys is None or key in keys
        ]
        for each in chosen:
            each.due_at, each.failed = utc_now(), each.failed._replace(attempts=0)
        return len(chosen)


def _as_key(kept: _Kept, blocked: _Blocked) -> WaitingKey:
    failed, partitions = blocked.failed, kept.version.partitions
    partition = partition_of(failed.key, partitions)
    return WaitingKey(failed.key, partition, failed.position, failed.attempts)
