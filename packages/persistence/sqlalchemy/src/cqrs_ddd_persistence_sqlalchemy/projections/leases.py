"""Who works on which partitions, and the checkpoints that only they may move."""

from collections.abc import Collection

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_core.ports import (
    IUnitOfWork,
    PartitionLease,
    ProjectionLeaseLostError,
    ProjectionVersion,
    VersionState,
)
from cqrs_ddd_persistence_sqlalchemy.conditions import is_one_of
from cqrs_ddd_persistence_sqlalchemy.outbox.base import now_plus
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import epoch_now
from cqrs_ddd_persistence_sqlalchemy.projections.base import (
    ProjectionBase,
    is_of,
    live_among,
    version_of,
)


class ProjectionLeases(ProjectionBase):
    """Leases and checkpoints (see ``IProjectionStorage``)."""

    async def renew(
        self, version: ProjectionVersion, epoch: int | None, worker: str, ttl: float
    ) -> PartitionLease | None:
        """Join or extend the lease, and take free partitions up to a fair share."""

        async def work(connection: AsyncConnection) -> PartitionLease | None:
            table = self._tables.versions
            own = is_of(table, version)
            locked = await connection.execute(
                self._select(version.projection)
                .where(own)
                .add_columns(table.c.last_epoch)
                .with_for_update()
            )
            row = locked.mappings().first()
            if row is None:
                return None
            current = version_of(row)
            alive = await self._alive(connection, version)
            lease = epoch if epoch in alive else row["last_epoch"] + 1
            await self._extend(connection, version, lease, worker, ttl, is_new=lease != epoch)
            workers = len(alive | {lease})
            if not current.at_rest:
                await self._take(connection, version, lease, alive | {lease})
            partitions = self._tables.partitions
            held = select(partitions.c.number, partitions.c.position).where(
                is_of(partitions, version), partitions.c.epoch == lease
            )
            positions = {held.number: held.position for held in await connection.execute(held)}
            bound = await self._bound(connection, current)
            return PartitionLease(lease, current, positions, workers, bound)

        return await self._in_transaction(work)

    async def _alive(self, connection: AsyncConnection, version: ProjectionVersion) -> set[int]:
        """Return the leases that count; the others are removed."""
        workers = self._tables.workers
        found = select(workers.c.epoch, workers.c.until > epoch_now()).where(
            is_of(workers, version)
        )
        rows = (await connection.execute(found)).all()
        for epoch, counts in rows:
            if not counts:
                await self._end_lease(connection, version, epoch)
        return {epoch for epoch, counts in rows if counts}

    async def _extend(
        self,
        connection: AsyncConnection,
        version: ProjectionVersion,
        epoch: int,
        worker: str,
        ttl: float,
        *,
        is_new: bool,
    ) -> None:
        workers = self._tables.workers
        if not is_new:
            own = update(workers).where(is_of(workers, version), workers.c.epoch == epoch)
            await connection.execute(own.values(until=now_plus(ttl)))
            return
        await self._set(connection, version, last_epoch=epoch)
        await connection.execute(
            insert(workers).values(
                projection=version.projection,
                version=version.version,
                epoch=epoch,
                name=worker,
                until=now_plus(ttl),
            )
        )

    async def _take(
        self,
        connection: AsyncConnection,
        version: ProjectionVersion,
        epoch: int,
        alive: Collection[int],
    ) -> None:
        """Take free partitions, those without a lease that counts, up to a fair share."""
        table = self._tables.partitions
        found = select(table.c.number, table.c.epoch).where(is_of(table, version))
        holders = {row.number: row.epoch for row in await connection.execute(found)}
        fair = -(-len(holders) // len(alive))
        held = sum(holder == epoch for holder in holders.values())
        free = sorted(number for number, holder in holders.items() if holder not in alive)
        if taken := free[: max(0, fair - held)]:
            chosen = is_one_of(table.c.number, taken, self._dialect)
            taking = update(table).where(is_of(table, version), chosen).values(epoch=epoch)
            await connection.execute(taking)

    async def _bound(self, connection: AsyncConnection, version: ProjectionVersion) -> int | None:
        """Return how far a version may go: while it is built, not beyond the live one."""
        if version.state is not VersionState.BUILDING or version.effects_after is not None:
            return version.ends_at
        rows = (await connection.execute(self._select(version.projection))).mappings()
        live = live_among({row["version"]: version_of(row) for row in rows})
        if live is None:
            return None
        return max((await self._positions(connection, live)).values())

    async def release(
        self, version: ProjectionVersion, epoch: int, partitions: Collection[int] | None = None
    ) -> None:
        """Give partitions up for others to take; None gives up all and leaves."""
        table = self._tables.partitions
        given = update(table).where(is_of(table, version), table.c.epoch == epoch)
        if partitions is not None:
            given = given.where(is_one_of(table.c.number, partitions, self._dialect))

        async def work(connection: AsyncConnection) -> None:
            await self._lock(connection, version.projection)
            await connection.execute(given.values(epoch=None))
            if partitions is None:
                await self._end_lease(connection, version, epoch)

        await self._in_transaction(work)

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
        table = self._tables.partitions
        moved = (
            update(table)
            .where(is_of(table, version), is_one_of(table.c.number, partitions, self._dialect))
            .where(table.c.epoch == epoch, table.c.position == after)
            .values(position=position)
        )
        async with self._joined(uow) as transaction:
            found = (await transaction.execute(moved)).rowcount
            if found != len(partitions):
                raise ProjectionLeaseLostError(version.projection, version.version, epoch)
