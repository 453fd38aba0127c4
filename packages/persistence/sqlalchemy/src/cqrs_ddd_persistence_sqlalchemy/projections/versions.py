"""Versions of read models: begun, switched to, retired, forgotten."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, cast, delete, exists, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_core.ports import IUnitOfWork, ProjectionVersion, VersionState
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import epoch_now, insert_missing
from cqrs_ddd_persistence_sqlalchemy.projections.base import (
    ProjectionBase,
    is_of,
    live_among,
    version_of,
)

BUILDING, LIVE, RETIRED = VersionState.BUILDING, VersionState.LIVE, VersionState.RETIRED


class Versions(ProjectionBase):
    """The life of versions (see ``IProjectionStorage`` and ``IProjectionOperations``)."""

    async def declare(
        self, projection: str, *, revision: int, partitions: int, position: int
    ) -> Sequence[ProjectionVersion]:
        """Make sure that there is a version for handlers of ``revision``; return all versions."""
        known = await self.versions(projection)
        if known and revision <= max(version.revision for version in known):
            return known

        async def work(connection: AsyncConnection) -> None:
            first = _new(projection, 1, revision, partitions, LIVE, effects_after=position)
            versions = self._tables.versions
            made = await connection.execute(
                insert_missing(versions, self._dialect).values(first),
                execution_options={"preserve_rowcount": True},  # psycopg's is thrown away else
            )
            if made.rowcount > 0:
                await self._add_partitions(connection, projection, 1, partitions)
                return
            known = await self._lock(connection, projection)
            if revision > max(version.revision for version in known.values()):
                await self._begin(connection, known, revision, partitions)

        await self._in_transaction(work)
        return await self.versions(projection)

    async def rebuild(
        self, projection: str, *, partitions: int | None = None
    ) -> ProjectionVersion | None:
        """Begin a new version beside the live one; return it, or the one that is being built."""

        async def work(connection: AsyncConnection) -> ProjectionVersion | None:
            known = await self._lock(connection, projection)
            building = [each for each in known.values() if each.state is BUILDING]
            live = live_among(known)
            if building or live is None:
                return building[0] if building else None
            number = await self._begin(
                connection, known, live.revision, partitions or live.partitions
            )
            return (await self._lock(connection, projection))[number]

        return await self._in_transaction(work)

    async def _begin(
        self,
        connection: AsyncConnection,
        known: dict[int, ProjectionVersion],
        revision: int,
        partitions: int,
    ) -> int:
        projection, number = next(iter(known.values())).projection, max(known) + 1
        row = _new(projection, number, revision, partitions, BUILDING)
        await connection.execute(insert(self._tables.versions).values(row))
        await self._add_partitions(connection, projection, number, partitions)
        return number

    async def _add_partitions(
        self, connection: AsyncConnection, projection: str, number: int, partitions: int
    ) -> None:
        rows = [
            {"projection": projection, "version": number, "number": each, "position": 0}
            for each in range(partitions)
        ]
        await connection.execute(insert(self._tables.partitions), rows)

    async def abandon(self, projection: str) -> bool:
        """Retire the version that is being built, unless its switch is planned."""

        async def work(connection: AsyncConnection) -> bool:
            for version in (await self._lock(connection, projection)).values():
                if version.state is BUILDING and version.effects_after is None:
                    await self._set(connection, version, state=RETIRED.value, ends_at=0)
                    await self._end_leases(connection, version)
                    return True
            return False

        return await self._in_transaction(work)

    async def plan_switch(self, version: ProjectionVersion, tolerance: int) -> bool:
        """Fix the position at which a version that has almost caught up takes over."""

        async def work(connection: AsyncConnection) -> bool:
            known = await self._lock(connection, version.projection)
            new, old = known.get(version.version), live_among(known)
            if new is None or old is None or new.state is not BUILDING:
                return False
            if new.effects_after is not None:
                return True
            end = max((await self._positions(connection, old)).values())
            reached = min((await self._positions(connection, new)).values())
            if end - reached > tolerance or await self._is_more_blocked(connection, new, old):
                return False
            await self._end_leases(connection, new)
            await self._end_leases(connection, old)
            end = max((await self._positions(connection, old)).values())  # now nobody moves it
            await self._set(connection, new, effects_after=end)
            await self._set(connection, old, ends_at=end)
            return True

        return await self._in_transaction(work)

    async def _is_more_blocked(
        self, connection: AsyncConnection, new: ProjectionVersion, old: ProjectionVersion
    ) -> bool:
        """Whether the new version has blocked keys that the old one has not."""
        of_new, of_old = self._tables.blocked, self._tables.blocked.alias("old")
        columns = of_old.c
        known = exists().where(
            columns.projection == old.projection,
            columns.version == old.version,
            columns.key_digest == of_new.c.key_digest,
        )
        found = select(of_new.c.key_digest).where(is_of(of_new, new), ~known).limit(1)
        return (await connection.execute(found)).first() is not None

    async def complete_switch(
        self, version: ProjectionVersion, uow: IUnitOfWork | None = None
    ) -> bool:
        """Make ``version`` the live one and retire the old one."""
        async with self._joined(uow) as transaction:
            connection = await transaction.connection()
            known = await self._lock(connection, version.projection)
            new, old = known.get(version.version), live_among(known)
            if new is None or new.effects_after is None or new.state is not BUILDING:
                return new is not None and new.state is LIVE
            if min((await self._positions(connection, new)).values()) < new.effects_after:
                return False
            if old is not None:
                await self._set(connection, old, state=RETIRED.value)
            await self._set(connection, new, state=LIVE.value)
            return True

    async def is_finished(self, version: ProjectionVersion) -> bool:
        """Whether a retired version has reached its end, or nobody works on it."""
        table, workers = self._tables.versions, self._tables.workers
        found = await self._query(self._select(version.projection).where(is_of(table, version)))
        row = found.mappings().first()
        if row is None or version_of(row).state is not RETIRED:
            return False
        at_work = select(workers.c.epoch).where(
            is_of(workers, version), workers.c.until > epoch_now()
        )
        if (await self._query(at_work.limit(1))).first() is None:
            return True
        partitions = self._tables.partitions
        last = select(func.min(partitions.c.position)).where(is_of(partitions, version))
        return (await self._query(last)).scalar_one() >= (row["ends_at"] or 0)

    async def forget(self, version: ProjectionVersion) -> None:
        """Remove a version, with its checkpoints and blocked keys."""

        async def work(connection: AsyncConnection) -> None:
            await self._lock(connection, version.projection)
            for table in reversed(self._tables):
                await connection.execute(delete(table).where(is_of(table, version)))

        await self._in_transaction(work)


def _new(
    projection: str,
    number: int,
    revision: int,
    partitions: int,
    state: VersionState,
    *,
    effects_after: int | None = None,
) -> dict[str, Any]:
    return {
        "projection": projection,
        "version": number,
        "revision": revision,
        "partitions": partitions,
        "state": state.value,
        "created_at": epoch_now(),
        "is_paused": False,
        "effects_after": effects_after,
        "last_epoch": cast(epoch_now() * 1000, BigInteger()),  # greater than of a namesake
    }
