"""What the parts of the projections' storage share: tables, conditions, rows as objects."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, RowMapping, Select, Table, and_, delete, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_core.ports import IUnitOfWork, ProjectionVersion, VersionState
from cqrs_ddd_persistence_sqlalchemy.errors import lost_race, translated
from cqrs_ddd_persistence_sqlalchemy.joining import joined
from cqrs_ddd_persistence_sqlalchemy.own_transactions import OwnTransactions
from cqrs_ddd_persistence_sqlalchemy.projections.tables import ProjectionTables
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import SQLAlchemyUnitOfWork

T = TypeVar("T")
_ATTEMPTS = 16  # of a transaction that another one got in the way of
VERSION_COLUMNS = (
    "projection",
    "version",
    "revision",
    "partitions",
    "state",
    "created_at",
    "is_paused",
    "error",
    "effects_after",
    "ends_at",
)


class ProjectionBase(OwnTransactions):
    """The tables of projections, and what is done with them everywhere."""

    _tables: ProjectionTables

    async def _in_transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run ``work`` in a transaction of its own, again where it lost a race for locks."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                return await super()._in_transaction(work)
            except DBAPIError as error:
                if not (left and lost_race(error)):
                    raise translated(error, "The storage of projections") from error
        raise AssertionError

    @asynccontextmanager
    async def _joined(self, uow: IUnitOfWork | None) -> AsyncGenerator[SQLAlchemyUnitOfWork]:
        """Yield the unit of work that is given or current, else one that commits at the end."""
        try:
            async with joined(self._session_factory, uow) as transaction:
                yield transaction
        except DBAPIError as error:
            raise translated(error, "The storage of projections") from error

    async def versions(self, projection: str | None = None) -> Sequence[ProjectionVersion]:
        """Return the versions of one projection or of all, by name and version."""
        return [version_of(row) for row in (await self._query(self._select(projection))).mappings()]

    def _select(self, projection: str | None) -> Select[Any]:
        columns = self._tables.versions.c
        found = select(*(columns[name] for name in VERSION_COLUMNS))
        if projection is not None:
            found = found.where(columns.projection == projection)
        return found.order_by(columns.projection, columns.version)

    async def _lock(
        self, connection: AsyncConnection, projection: str
    ) -> dict[int, ProjectionVersion]:
        """Lock and return the versions of a projection, by number."""
        rows = await connection.execute(self._select(projection).with_for_update())
        return {row["version"]: version_of(row) for row in rows.mappings()}

    async def _set(
        self, connection: AsyncConnection, version: ProjectionVersion, **values: Any
    ) -> None:
        table = self._tables.versions
        await connection.execute(update(table).where(is_of(table, version)).values(values))

    async def _end_leases(self, connection: AsyncConnection, version: ProjectionVersion) -> None:
        """Have no checkpoint accepted from anybody who works on ``version`` now."""
        partitions, workers = self._tables.partitions, self._tables.workers
        held = is_of(partitions, version)
        await connection.execute(update(partitions).where(held).values(epoch=None))
        epochs = select(workers.c.epoch).where(is_of(workers, version))
        for epoch in (await connection.execute(epochs)).scalars().all():
            await self._end_lease(connection, version, epoch)

    async def _end_lease(
        self, connection: AsyncConnection, version: ProjectionVersion, epoch: int
    ) -> None:
        """Remove one worker, by its key: MariaDB locks whatever else a DELETE looks at."""
        workers = self._tables.workers
        await connection.execute(
            delete(workers).where(is_of(workers, version), workers.c.epoch == epoch)
        )

    async def _positions(
        self, connection: AsyncConnection, version: ProjectionVersion, *, locked: bool = False
    ) -> dict[int, int]:
        table = self._tables.partitions
        found = select(table.c.number, table.c.position).where(is_of(table, version))
        rows = await connection.execute(found.with_for_update() if locked else found)
        return {row.number: row.position for row in rows}


def is_of(table: Table, version: ProjectionVersion) -> ColumnElement[bool]:
    """Return the condition that a row belongs to ``version``."""
    columns = table.c
    return and_(columns.projection == version.projection, columns.version == version.version)


def version_of(row: RowMapping) -> ProjectionVersion:
    """Return the version that a row holds."""
    values = {name: row[name] for name in VERSION_COLUMNS}
    values["state"] = VersionState(values["state"])
    values["created_at"] = datetime.fromtimestamp(values["created_at"], UTC)
    return ProjectionVersion(**values)


def live_among(versions: dict[int, ProjectionVersion]) -> ProjectionVersion | None:
    """Return the one that is read."""
    found = (each for each in versions.values() if each.state is VersionState.LIVE)
    return next(found, None)
