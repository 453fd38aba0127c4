"""The memory of projections on PostgreSQL, MariaDB, MySQL and SQLite."""

from collections.abc import Sequence

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_persistence_sqlalchemy.projections.blocked import BlockedKeys
from cqrs_ddd_persistence_sqlalchemy.projections.leases import ProjectionLeases
from cqrs_ddd_persistence_sqlalchemy.projections.operations import ProjectionOperations
from cqrs_ddd_persistence_sqlalchemy.projections.tables import projection_tables
from cqrs_ddd_persistence_sqlalchemy.projections.versions import Versions


class SQLAlchemyProjectionStorage(ProjectionLeases, BlockedKeys, Versions, ProjectionOperations):
    """Checkpoints, leases and blocked keys in five tables.

    See ``IProjectionStorage`` and ``IProjectionOperations``.

    Args:
        session_factory: the one that the units of work are made with.
        table: the name of the table of versions; the others begin with it.
    """

    def __init__(
        self, session_factory: async_sessionmaker[AsyncSession], *, table: str = "projections"
    ) -> None:
        self._session_factory, self._tables = session_factory, projection_tables(table)

    @property
    def tables(self) -> Sequence[Table]:
        """The tables, for ``create_schema``."""
        return self._tables
