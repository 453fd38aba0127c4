"""What every store of snapshots promises."""
# ruff: noqa: D102, PT012 - test names are sentences; a unit of work is one step

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cqrs_ddd_advanced_core.snapshots import ISnapshotStore, Snapshot
from cqrs_ddd_core.cqrs.scope_errors import ReadOnlyUnitOfWorkError
from cqrs_ddd_core.ports.event_store import StreamId
from cqrs_ddd_core.testing.conformance.samples import UowFactory

STREAM = StreamId("Örder", "o-1")
SNAPSHOT = Snapshot(
    stream=STREAM,
    version=5,
    event_id="e-5",
    schema="order:1:ä",
    payload=bytes(range(256)),
    taken_at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
)
NEWER = replace(SNAPSHOT, version=9, event_id="e-9", payload=b"newer", schema="order:2")


class _Oops(Exception):  # noqa: N818
    """What a test raises on purpose."""


class SnapshotStoreConformance:
    """Subclass, provide the fixtures ``snapshots`` and ``uow_factory``, done.

    ``snapshots`` is empty and on the same store as the units of work of ``uow_factory`` (see
    ``UnitOfWorkConformance`` of the core).
    """

    async def test_it_implements_the_port(self, snapshots: ISnapshotStore) -> None:
        assert isinstance(snapshots, ISnapshotStore)
        assert await snapshots.get_latest_snapshot(STREAM) is None

    @pytest.mark.parametrize("payload", [b"", SNAPSHOT.payload, b"\x00x" * 100_000])
    async def test_a_snapshot_comes_back_as_it_was_saved(
        self, snapshots: ISnapshotStore, payload: bytes
    ) -> None:
        saved = replace(SNAPSHOT, payload=payload)
        await snapshots.save_snapshot(saved)
        assert await snapshots.get_latest_snapshot(STREAM) == saved

    async def test_streams_are_told_apart_by_type_id_and_tenant(
        self, snapshots: ISnapshotStore
    ) -> None:
        streams = [
            STREAM,
            StreamId("Örder", "O-1"),
            StreamId("örder", "o-1"),
            StreamId("Örder", "o-1", "tenant"),
        ]
        for version, stream in enumerate(streams, start=1):
            await snapshots.save_snapshot(replace(SNAPSHOT, stream=stream, version=version))
        await snapshots.delete_snapshot(streams[1])
        found = [await snapshots.get_latest_snapshot(stream) for stream in streams]
        assert [each and each.version for each in found] == [1, None, 3, 4]

    async def test_a_newer_one_takes_the_place_of_an_older_one_and_never_the_other_way_round(
        self, snapshots: ISnapshotStore
    ) -> None:
        await snapshots.save_snapshot(SNAPSHOT)
        await snapshots.save_snapshot(NEWER)
        assert await snapshots.get_latest_snapshot(STREAM) == NEWER
        await snapshots.save_snapshot(SNAPSHOT)
        assert await snapshots.get_latest_snapshot(STREAM) == NEWER

    async def test_one_of_the_same_version_takes_its_place(self, snapshots: ISnapshotStore) -> None:
        of_new_code = replace(SNAPSHOT, schema="order:2", payload=b"other")
        await snapshots.save_snapshot(SNAPSHOT)
        await snapshots.save_snapshot(of_new_code)
        assert await snapshots.get_latest_snapshot(STREAM) == of_new_code

    async def test_of_several_saved_at_once_the_newest_stays(
        self, snapshots: ISnapshotStore
    ) -> None:
        saved = [replace(SNAPSHOT, version=version) for version in range(1, 9)]
        await asyncio.gather(*(snapshots.save_snapshot(snapshot) for snapshot in saved))
        assert await snapshots.get_latest_snapshot(STREAM) == saved[-1]

    async def test_it_joins_the_unit_of_work_that_is_given(
        self, snapshots: ISnapshotStore, uow_factory: UowFactory
    ) -> None:
        await snapshots.save_snapshot(SNAPSHOT)
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                await snapshots.save_snapshot(NEWER, uow)
                assert await snapshots.get_latest_snapshot(STREAM, uow) == NEWER
                raise _Oops
        assert await snapshots.get_latest_snapshot(STREAM) == SNAPSHOT
        async with uow_factory() as uow:
            await snapshots.save_snapshot(NEWER, uow)
        assert await snapshots.get_latest_snapshot(STREAM) == NEWER

    async def test_it_joins_the_unit_of_work_that_is_current(
        self, snapshots: ISnapshotStore, uow_factory: UowFactory
    ) -> None:
        with pytest.raises(_Oops):
            async with uow_factory():
                await snapshots.save_snapshot(SNAPSHOT)
                assert await snapshots.get_latest_snapshot(STREAM) == SNAPSHOT
                raise _Oops
        assert await snapshots.get_latest_snapshot(STREAM) is None

    async def test_a_deletion_belongs_to_its_unit_of_work(
        self, snapshots: ISnapshotStore, uow_factory: UowFactory
    ) -> None:
        await snapshots.delete_snapshot(STREAM)
        await snapshots.save_snapshot(SNAPSHOT)
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                await snapshots.delete_snapshot(STREAM, uow)
                assert await snapshots.get_latest_snapshot(STREAM, uow) is None
                raise _Oops
        assert await snapshots.get_latest_snapshot(STREAM) == SNAPSHOT
        async with uow_factory() as uow:
            await snapshots.delete_snapshot(STREAM, uow)
        assert await snapshots.get_latest_snapshot(STREAM) is None

    async def test_a_query_takes_none(
        self, snapshots: ISnapshotStore, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as opened:
            uow: Any = opened
            uow.read_only = True
            with pytest.raises(ReadOnlyUnitOfWorkError):
                await snapshots.save_snapshot(SNAPSHOT, uow)
            with pytest.raises(ReadOnlyUnitOfWorkError):
                await snapshots.delete_snapshot(STREAM, uow)
        assert await snapshots.get_latest_snapshot(STREAM) is None
