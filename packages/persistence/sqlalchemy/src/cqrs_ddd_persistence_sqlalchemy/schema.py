"""Tables: created at once, or handed to Alembic as metadata."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, cast, runtime_checkable

from sqlalchemy import Connection, MetaData, Table, text
from sqlalchemy.ext.asyncio import AsyncEngine

from cqrs_ddd_core.cqrs.repository import repository
from cqrs_ddd_persistence_sqlalchemy.errors import MappingError
from cqrs_ddd_persistence_sqlalchemy.mapping import mapping_of
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import SQLAlchemyUnitOfWork

_LOCK = 0x43515253  # "CQRS": the advisory lock under which tables are created


@runtime_checkable
class HasTable(Protocol):
    """A storage that keeps its data in one table."""

    @property
    def table(self) -> Table:
        """The table."""
        ...


@runtime_checkable
class HasTables(Protocol):
    """A storage that keeps its data in several tables."""

    @property
    def tables(self) -> Sequence[Table]:
        """The tables."""
        ...


Source = type[SQLAlchemyUnitOfWork] | HasTable | HasTables | Table


def metadata_of(*sources: Source, metadata: MetaData | None = None) -> MetaData:
    """Return the tables of ``sources`` together, as Alembic's ``target_metadata`` wants them.

    Args:
        *sources: unit-of-work classes (with all repositories they declare), storages, tables.
        metadata: where to put the tables; a new one by default.

    Raises:
        MappingError: two different tables have one name.
    """
    metadata = metadata if metadata is not None else MetaData()
    originals: dict[str, Table] = {}
    for table in _tables(sources):
        known = originals.setdefault(table.name, table)
        if known is not table:
            raise MappingError(
                f"Two different tables are called {table.name!r}; name one of them otherwise: "
                "repository(..., table='other')."
            )
        if table.metadata is not metadata and table.name not in metadata.tables:
            table.to_metadata(metadata)
    return metadata


async def create_schema(engine: AsyncEngine, *sources: Source) -> None:
    """Create the tables of ``sources`` that do not exist yet; safe to call from many processes.

    Existing tables are left as they are; to change them is Alembic's work.
    """
    metadata = metadata_of(*sources)
    async with engine.begin() as connection:
        await connection.run_sync(_create, metadata)


async def drop_schema(engine: AsyncEngine, *sources: Source) -> None:
    """Drop the tables of ``sources``, with all that is in them."""
    metadata = metadata_of(*sources)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)


def _create(connection: Connection, metadata: MetaData) -> None:
    """Create what is missing, one process at a time; SQLite's transaction is the lock itself."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if dialect not in {"mysql", "mariadb"}:
        metadata.create_all(connection)
        return
    connection.execute(text("SELECT GET_LOCK('cqrs_ddd_schema', 60)"))
    try:
        metadata.create_all(connection)
    finally:
        connection.execute(text("SELECT RELEASE_LOCK('cqrs_ddd_schema')"))


def _tables(sources: Iterable[Any]) -> Iterator[Table]:
    for source in sources:
        if isinstance(source, Table):
            yield source
        elif isinstance(source, type) and issubclass(source, SQLAlchemyUnitOfWork):
            yield from _declared(source)
        elif isinstance(source, HasTable):
            yield source.table
        elif isinstance(source, HasTables):
            yield from source.tables
        else:
            raise MappingError(
                f"{source!r} has no tables. Give unit-of-work classes, storages or tables."
            )


def _declared(uow_class: type[Any]) -> Iterator[Table]:
    """Yield the tables of the repositories that a class declares or inherits."""
    seen: set[str] = set()
    for owner in uow_class.__mro__:
        for name, declared in vars(owner).items():
            if isinstance(declared, repository) and name not in seen:
                seen.add(name)
                aggregate_type, options = cast("repository[Any, Any]", declared).declaration()
                yield mapping_of(aggregate_type, options).table
