"""What every memory of projections promises the engine, and the people who look after it."""
# ruff: noqa: D102, PLR2004, PT012 - test names are sentences; positions; a transaction is one step

from collections.abc import Sequence
from typing import Protocol

import pytest

from cqrs_ddd_core.ports.projection_operations import IProjectionOperations
from cqrs_ddd_core.ports.projection_storage import (
    FailedEvent,
    IProjectionStorage,
    PartitionLease,
    ProjectionLeaseLostError,
    ProjectionVersion,
    VersionState,
    partition_of,
)
from cqrs_ddd_core.testing.conformance.samples import Order, UowFactory
from cqrs_ddd_core.testing.conformance.steps import version_of
from cqrs_ddd_core.testing.until import until

_LONG = 600.0
_SOON = 60.0


class _Oops(Exception):  # noqa: N818
    """What a test raises on purpose."""


class FullProjectionStorage(IProjectionStorage, IProjectionOperations, Protocol):
    """A memory with everything that has a port."""


async def _declare(
    storage: IProjectionStorage, partitions: int = 1, *, position: int = 0
) -> ProjectionVersion:
    versions = await storage.declare("p", revision=1, partitions=partitions, position=position)
    return versions[-1]


async def _join(
    storage: IProjectionStorage, version: ProjectionVersion, worker: str = "a", ttl: float = _LONG
) -> PartitionLease:
    lease = await storage.renew(version, None, worker, ttl)
    assert lease is not None
    return lease


async def _go_to(storage: IProjectionStorage, version: ProjectionVersion, position: int) -> None:
    """Have a worker come, advance every partition, and leave."""
    lease = await _join(storage, version)
    for number, before in lease.positions.items():
        await storage.advance(version, lease.epoch, [number], after=before, position=position)
    await storage.release(version, lease.epoch)


class ProjectionStorageConformance:
    """Subclass, provide the fixtures ``projections`` and ``uow_factory``, done.

    ``projections`` is empty and on the same store as the units of work of ``uow_factory`` (see
    ``UnitOfWorkConformance``).
    """

    async def test_it_implements_the_ports(self, projections: FullProjectionStorage) -> None:
        assert isinstance(projections, IProjectionStorage)
        assert isinstance(projections, IProjectionOperations)

    async def test_what_was_never_declared_is_not_there(
        self, projections: FullProjectionStorage
    ) -> None:
        assert await projections.versions() == []
        assert await projections.status("p") == []
        assert await projections.position("p") is None
        assert await projections.rebuild("p") is None
        assert not await projections.pause("p")
        assert not await projections.resume("p")
        assert await projections.retry("p") == 0

    async def test_the_first_version_is_live_at_once(
        self, projections: FullProjectionStorage
    ) -> None:
        version = await _declare(projections, 3, position=7)
        assert (version.version, version.revision, version.partitions) == (1, 1, 3)
        assert (version.state, version.effects_after) == (VersionState.LIVE, 7)
        assert await _declare(projections, 3, position=99) == version
        assert await projections.position("p") == 0
        assert [status.version for status in await projections.status()] == [version]

    # -- leases and checkpoints ----------------------------------------------------------------

    async def test_partitions_are_shared_out_evenly(
        self, projections: FullProjectionStorage
    ) -> None:
        version = await _declare(projections, 4)
        first = await _join(projections, version, "a")
        assert (set(first.positions), first.workers) == ({0, 1, 2, 3}, 1)
        second = await _join(projections, version, "b")
        assert (second.positions, second.workers) == ({}, 2)
        await projections.release(version, first.epoch, [0, 1, 2])
        again = await projections.renew(version, second.epoch, "b", _LONG)
        assert again is not None
        assert (again.epoch, len(again.positions)) == (second.epoch, 2)
        await projections.release(version, first.epoch)
        alone = await projections.renew(version, second.epoch, "b", _LONG)
        assert alone is not None
        assert (set(alone.positions), alone.workers) == ({0, 1, 2, 3}, 1)

    async def test_partitions_of_a_worker_that_died_are_taken_by_another(
        self, projections: FullProjectionStorage
    ) -> None:
        version = await _declare(projections, 2)
        dead = await _join(projections, version, "dead", 0.01)
        await projections.advance(version, dead.epoch, [0], after=0, position=5)
        heir = await _join(projections, version, "heir")

        async def has_all() -> bool:
            lease = await projections.renew(version, heir.epoch, "heir", _LONG)
            return lease is not None and lease.positions == {0: 5, 1: 0}

        await until(has_all, timeout=30)
        assert heir.epoch > dead.epoch
        with pytest.raises(ProjectionLeaseLostError):
            await projections.advance(version, dead.epoch, [0], after=5, position=9)
        returned = await projections.renew(version, dead.epoch, "dead", _LONG)
        assert returned is not None
        assert returned.epoch > heir.epoch
        assert returned.positions == {}

    async def test_a_checkpoint_is_compared_before_it_is_set(
        self, projections: FullProjectionStorage
    ) -> None:
        version = await _declare(projections, 2)
        lease = await _join(projections, version)
        await projections.advance(version, lease.epoch, [0, 1], after=0, position=5)
        with pytest.raises(ProjectionLeaseLostError) as caught:
            await projections.advance(version, lease.epoch, [0, 1], after=0, position=6)
        assert (caught.value.projection, caught.value.version) == ("p", 1)
        await projections.advance(version, lease.epoch, [1], after=5, position=8)
        with pytest.raises(ProjectionLeaseLostError):
            await projections.advance(version, lease.epoch, [0, 1], after=5, position=9)
        assert await projections.position("p") == 5
        status = (await projections.status("p"))[0]
        assert (status.position, status.foremost, status.workers) == (5, 8, 1)

    async def test_a_checkpoint_commits_with_the_read_model_or_not_at_all(
        self, projections: FullProjectionStorage, uow_factory: UowFactory
    ) -> None:
        version = await _declare(projections)
        lease = await _join(projections, version)
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                await projections.advance(version, lease.epoch, [0], after=0, position=5)
                await uow.orders.add(Order(id="o-1"))
                raise _Oops
        assert await projections.position("p") == 0
        async with uow_factory() as uow:
            await projections.advance(version, lease.epoch, [0], after=0, position=5)
            await uow.orders.add(Order(id="o-1"))
        assert await projections.position("p") == 5
        with pytest.raises(ProjectionLeaseLostError):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-2"))
                await projections.advance(version, lease.epoch, [0], after=0, position=9, uow=uow)
        assert await version_of(uow_factory, "o-1") == 1
        assert await version_of(uow_factory, "o-2") is None

    # -- blocked keys --------------------------------------------------------------------------

    async def test_events_wait_behind_the_one_that_failed(
        self, projections: FullProjectionStorage, uow_factory: UowFactory
    ) -> None:
        version = await _declare(projections, 4)
        everywhere = range(4)
        await projections.block(version, FailedEvent(3, "Order/1", "no \0 way", 1, None))
        await projections.wait_behind(version, [(5, "Order/1"), (9, "Order/1")])
        await projections.wait_behind(version, [])
        own = partition_of("Order/1", 4)
        assert [tuple(key) for key in await projections.blocked(version, everywhere)] == [
            ("Order/1", own, 3, 1)
        ]
        assert await projections.blocked(version, set(everywhere) - {own}) == []
        assert await projections.waiting(version, "Order/1") == [3, 5, 9]
        assert await projections.waiting(version, "Order/1", limit=2) == [3, 5]
        assert await projections.waiting(version, "order/1") == []
        async with uow_factory() as uow:
            assert not await projections.settle(version, "Order/1", [3, 5], uow)
        assert await projections.waiting(version, "Order/1") == [9]
        assert await projections.settle(version, "Order/1", [9])
        assert await projections.blocked(version, everywhere) == []

    async def test_a_failure_is_noted_if_its_transaction_commits(
        self, projections: FullProjectionStorage, uow_factory: UowFactory
    ) -> None:
        version = await _declare(projections)
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                await projections.block(version, FailedEvent(3, "k", "no", 1, None), uow)
                await projections.wait_behind(version, [(4, "k")], uow)
                raise _Oops
        assert await projections.blocked(version, [0]) == []
        assert await projections.waiting(version, "k") == []

    async def test_what_is_due_again_is_told_and_what_is_parked_waits_for_a_person(
        self, projections: FullProjectionStorage
    ) -> None:
        version = await _declare(projections)
        await projections.block(version, FailedEvent(1, "now", "no", 1, 0.0))
        await projections.block(version, FailedEvent(2, "later", "no", 1, _SOON))
        await projections.block(version, FailedEvent(3, "never", "no", 4, None))
        due = await projections.due(version, [0])
        assert [key.key for key in due] == ["now"]
        assert await projections.due(version, []) == []
        status = (await projections.status("p"))[0]
        assert (status.retrying, status.parked, status.waiting) == (2, 1, 3)
        parked = {each.key: each for each in await projections.parked("p")}
        assert parked["never"].retry_in is None
        assert 0 < (parked["later"].retry_in or 0) <= _SOON
        assert await projections.retry("p", ["never", "unknown"]) == 1
        again = {key.key: key.attempts for key in await projections.due(version, [0])}
        assert again == {"now": 1, "never": 0}
        assert await projections.retry("p") == 3
        assert len(await projections.due(version, [0])) == 3
        assert len(await projections.due(version, [0], limit=2)) == 2

    async def test_parked_keys_are_listed_with_their_error_and_what_waits(
        self, projections: FullProjectionStorage
    ) -> None:
        version = await _declare(projections)
        await projections.block(version, FailedEvent(3, "k", "ValueError: no", 2, None))
        await projections.wait_behind(version, [(5, "k"), (9, "k")])
        found = (await projections.parked())[0]
        assert (found.key, found.position, found.error) == ("k", 3, "ValueError: no")
        assert (found.attempts, found.behind) == (2, 2)
        assert found.version.projection == "p"
        assert found.failed_at.tzinfo is not None
        assert await projections.parked("other") == []
        assert await projections.parked("p", limit=0) == []

    async def test_a_key_that_fails_again_is_blocked_at_the_new_event(
        self, projections: FullProjectionStorage
    ) -> None:
        version = await _declare(projections)
        await projections.block(version, FailedEvent(3, "k", "first", 1, 0.0))
        await projections.block(version, FailedEvent(3, "k", "second", 2, None))
        assert [tuple(key) for key in await projections.blocked(version, [0])] == [("k", 0, 3, 2)]
        assert (await projections.parked("p"))[0].error == "second"
        assert await projections.waiting(version, "k") == [3]

    # -- rest ----------------------------------------------------------------------------------

    async def test_nothing_commits_once_a_projection_is_paused(
        self, projections: FullProjectionStorage
    ) -> None:
        version = await _declare(projections)
        lease = await _join(projections, version)
        assert await projections.pause("p")
        with pytest.raises(ProjectionLeaseLostError):
            await projections.advance(version, lease.epoch, [0], after=0, position=1)
        resting = await projections.renew(version, lease.epoch, "a", _LONG)
        assert resting is not None
        assert (resting.positions, resting.version.is_paused) == ({}, True)
        assert await projections.resume("p")
        going = await projections.renew(version, resting.epoch, "a", _LONG)
        assert going is not None
        assert (going.positions, going.version.at_rest) == ({0: 0}, False)

    async def test_a_stop_is_for_all_workers_until_somebody_resumes(
        self, projections: FullProjectionStorage
    ) -> None:
        version = await _declare(projections, 2)
        lease = await _join(projections, version)
        await projections.stop(version, lease.epoch - 1, "of a lease that is gone")
        assert (await projections.versions("p"))[0].error is None
        await projections.stop(version, lease.epoch, "ValueError: no")
        assert (await projections.versions("p"))[0].error == "ValueError: no"
        other = await _join(projections, version, "b")
        assert (other.positions, other.version.at_rest) == ({}, True)
        await projections.resume("p")
        assert (await projections.versions("p"))[0].error is None

    # -- rebuild and switch --------------------------------------------------------------------

    async def test_a_rebuild_is_begun_once(self, projections: FullProjectionStorage) -> None:
        await _declare(projections, 2)
        building = await projections.rebuild("p", partitions=4)
        assert building is not None
        assert (building.version, building.partitions) == (2, 4)
        assert (building.state, building.effects_after) == (VersionState.BUILDING, None)
        assert await projections.rebuild("p") == building
        assert [each.version for each in await projections.versions("p")] == [1, 2]

    async def test_handlers_of_a_greater_revision_begin_a_rebuild(
        self, projections: FullProjectionStorage
    ) -> None:
        await _declare(projections)
        versions = await projections.declare("p", revision=2, partitions=1, position=9)
        assert [(each.revision, each.state) for each in versions] == [
            (1, VersionState.LIVE),
            (2, VersionState.BUILDING),
        ]
        assert await projections.declare("p", revision=1, partitions=1, position=9) == versions
        assert await projections.declare("p", revision=2, partitions=1, position=9) == versions

    async def test_what_is_built_does_not_overtake_the_live_version(
        self, projections: FullProjectionStorage
    ) -> None:
        live = await _declare(projections)
        await _go_to(projections, live, 7)
        building = await projections.rebuild("p")
        assert building is not None
        assert (await _join(projections, building)).bound == 7
        assert (await _join(projections, live)).bound is None

    async def test_at_the_switch_every_event_belongs_to_one_of_the_versions(
        self, projections: FullProjectionStorage
    ) -> None:
        live = await _declare(projections, 2)
        await _go_to(projections, live, 90)
        at_work = await _join(projections, live)
        await projections.advance(live, at_work.epoch, [1], after=90, position=100)
        building = await projections.rebuild("p")
        assert building is not None
        await _go_to(projections, building, 80)
        assert not await projections.plan_switch(building, 10)
        assert not await projections.complete_switch(building)
        assert await projections.plan_switch(building, 20)
        assert await projections.plan_switch(building, 0)
        old, new = await projections.versions("p")
        assert (old.ends_at, new.effects_after) == (100, 100)
        with pytest.raises(ProjectionLeaseLostError):
            await projections.advance(live, at_work.epoch, [0], after=90, position=110)
        assert (await _join(projections, old)).bound == 100
        assert (await _join(projections, new)).bound is None
        assert not await projections.complete_switch(new)
        assert await projections.position("p") == 90

    async def test_the_new_version_is_live_when_the_switch_commits(
        self, projections: FullProjectionStorage, uow_factory: UowFactory
    ) -> None:
        live = await _declare(projections)
        await _go_to(projections, live, 100)
        building = await projections.rebuild("p")
        assert building is not None
        await _go_to(projections, building, 100)
        assert await projections.plan_switch(building, 0)
        assert not await projections.is_finished(live)
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                assert await projections.complete_switch(building, uow)
                raise _Oops
        assert await _states(projections) == [VersionState.LIVE, VersionState.BUILDING]
        async with uow_factory() as uow:
            assert await projections.complete_switch(building, uow)
        assert await _states(projections) == [VersionState.RETIRED, VersionState.LIVE]
        assert await projections.complete_switch(building)
        assert await projections.is_finished(live)
        await projections.forget(live)
        await projections.forget(live)
        assert await _states(projections) == [VersionState.LIVE]
        assert await projections.renew(live, None, "a", _LONG) is None
        assert not await projections.is_finished(live)

    async def test_a_retired_version_is_finished_at_its_end_or_when_nobody_is_at_work(
        self, projections: FullProjectionStorage
    ) -> None:
        live = await _declare(projections, 2)
        lease = await _join(projections, live)
        await projections.advance(live, lease.epoch, [0], after=0, position=10)
        building = await projections.rebuild("p")
        assert building is not None
        await _go_to(projections, building, 10)
        assert await projections.plan_switch(building, 0)
        assert await projections.complete_switch(building)
        finishing = await _join(projections, live)
        assert finishing.bound == 10
        assert not await projections.is_finished(live)
        await projections.advance(live, finishing.epoch, [1], after=0, position=10)
        assert await projections.is_finished(live)

    async def test_what_is_more_blocked_than_the_live_version_does_not_replace_it(
        self, projections: FullProjectionStorage
    ) -> None:
        live = await _declare(projections)
        building = await projections.rebuild("p")
        assert building is not None
        await projections.block(building, FailedEvent(1, "k", "no", 1, None))
        assert not await projections.plan_switch(building, 0)
        await projections.block(live, FailedEvent(1, "k", "no", 1, None))
        assert await projections.plan_switch(building, 0)

    async def test_a_rebuild_can_be_abandoned_until_its_switch_is_planned(
        self, projections: FullProjectionStorage
    ) -> None:
        await _declare(projections)
        assert not await projections.abandon("p")
        building = await projections.rebuild("p")
        assert building is not None
        lease = await _join(projections, building)
        assert await projections.abandon("p")
        with pytest.raises(ProjectionLeaseLostError):
            await projections.advance(building, lease.epoch, [0], after=0, position=1)
        assert await projections.is_finished(building)
        await projections.forget(building)
        again = await projections.rebuild("p")
        assert again is not None
        assert (await _join(projections, again)).epoch > lease.epoch
        assert await projections.plan_switch(again, 0)
        assert not await projections.abandon("p")


async def _states(projections: IProjectionStorage) -> Sequence[VersionState]:
    return [version.state for version in await projections.versions("p")]
