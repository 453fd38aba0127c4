"""Looking after projections: how they stand, rest, what is parked."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_core.ports import ParkedKey, ProjectionVersion, VersionState, VersionStatus
from cqrs_ddd_persistence_sqlalchemy.outbox.base import now_plus
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import digest_of, epoch_now
from cqrs_ddd_persistence_sqlalchemy.projections.base import (
    VERSION_COLUMNS,
    ProjectionBase,
    is_of,
    version_of,
)


class ProjectionOperations(ProjectionBase):
    """What people and their tools do with projections (see ``IProjectionOperations``)."""

    async def position(self, projection: str) -> int | None:
        """Return the checkpoint of the live version, of its last partition."""
        versions, partitions = self._tables.versions.c, self._tables.partitions.c
        found = select(func.min(partitions.position)).where(
            partitions.projection == projection,
            partitions.version == versions.version,
            versions.projection == projection,
            versions.state == VersionState.LIVE.value,
        )
        return (await self._query(found)).scalar()

    async def status(self, projection: str | None = None) -> Sequence[VersionStatus]:
        """Return how the versions of one projection or of all stand."""
        created_at = self._tables.versions.c.created_at
        found = self._select(projection).add_columns((epoch_now() - created_at).label("age"))

        async def work(connection: AsyncConnection) -> list[VersionStatus]:
            rows = (await connection.execute(found)).mappings().all()
            return [await self._status(connection, version_of(row), row["age"]) for row in rows]

        return await self._reading(work)

    async def _status(
        self, connection: AsyncConnection, version: ProjectionVersion, age: float
    ) -> VersionStatus:
        partitions, workers = self._tables.partitions, self._tables.workers
        blocked, waiting = self._tables.blocked, self._tables.waiting
        positions = select(func.min(partitions.c.position), func.max(partitions.c.position))
        first, last = (await connection.execute(positions.where(is_of(partitions, version)))).one()

        async def count(statement: Any) -> int:
            return (await connection.execute(statement)).scalar_one()

        keys = select(func.count()).select_from(blocked).where(is_of(blocked, version))
        return VersionStatus(
            version=version,
            position=first or 0,
            foremost=last or 0,
            workers=await count(
                select(func.count())
                .select_from(workers)
                .where(is_of(workers, version), workers.c.until > epoch_now())
            ),
            retrying=await count(keys.where(blocked.c.due_at.is_not(None))),
            parked=await count(keys.where(blocked.c.due_at.is_(None))),
            waiting=await count(
                select(func.count()).select_from(waiting).where(is_of(waiting, version))
            ),
            age=age,
        )

    async def pause(self, projection: str) -> bool:
        """Bring every version to rest; no batch commits after this has returned."""

        async def work(connection: AsyncConnection) -> bool:
            known = await self._lock(connection, projection)
            for version in known.values():
                await self._set(connection, version, is_paused=True)
                await self._end_leases(connection, version)
            return bool(known)

        return await self._in_transaction(work)

    async def stop(self, version: ProjectionVersion, epoch: int, error: str) -> None:
        """Bring every worker of ``version`` to rest until ``resume``."""
        workers = self._tables.workers
        own = select(workers.c.epoch).where(is_of(workers, version), workers.c.epoch == epoch)

        async def work(connection: AsyncConnection) -> None:
            await self._lock(connection, version.projection)
            if (await connection.execute(own)).first() is not None:
                await self._set(
                    connection, version, error=error.replace("\0", "\N{SYMBOL FOR NULL}")
                )
                await self._end_leases(connection, version)

        await self._in_transaction(work)

    async def resume(self, projection: str) -> bool:
        """Have paused and stopped versions go on."""

        async def work(connection: AsyncConnection) -> bool:
            known = await self._lock(connection, projection)
            for version in known.values():
                await self._set(connection, version, is_paused=False, error=None)
            return bool(known)

        return await self._in_transaction(work)

    async def parked(self, projection: str | None = None, limit: int = 100) -> Sequence[ParkedKey]:
        """Return at most ``limit`` blocked keys, those first that failed first."""
        versions, blocked, waiting = (
            self._tables.versions,
            self._tables.blocked,
            self._tables.waiting.c,
        )
        columns = blocked.c
        behind = (
            select(func.count())
            .where(
                waiting.projection == columns.projection,
                waiting.version == columns.version,
                waiting.key_digest == columns.key_digest,
                waiting.position != columns.position,
            )
            .scalar_subquery()
        )
        found = (
            select(
                *(versions.c[name] for name in VERSION_COLUMNS),
                columns.partition_key,
                columns.position,
                columns.attempts,
                columns.failed_at,
                columns.error.label("failure"),
                behind.label("behind"),
                (columns.due_at - epoch_now()).label("retry_in"),
            )
            .join(
                versions,
                and_(
                    versions.c.projection == columns.projection,
                    versions.c.version == columns.version,
                ),
            )
            .order_by(columns.failed_at, columns.position)
            .limit(limit)
        )
        if projection is not None:
            found = found.where(columns.projection == projection)
        return [
            ParkedKey(
                version=version_of(row),
                key=row["partition_key"],
                position=row["position"],
                error=row["failure"],
                attempts=row["attempts"],
                failed_at=datetime.fromtimestamp(row["failed_at"], UTC),
                behind=row["behind"],
                retry_in=row["retry_in"],
            )
            for row in (await self._query(found)).mappings()
        ]

    async def retry(self, projection: str, keys: Sequence[str] | None = None) -> int:
        """Have blocked keys, these or all, tried again soon."""
        table = self._tables.blocked
        again = update(table).where(table.c.projection == projection)
        if keys is not None:
            again = again.where(table.c.key_digest.in_([digest_of(key) for key in keys]))
        values = {"due_at": now_plus(0.0), "attempts": 0}

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(again.values(values))).rowcount

        return await self._in_transaction(work)
