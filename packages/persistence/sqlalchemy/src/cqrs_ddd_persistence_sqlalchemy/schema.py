"""Tables: created at once, or handed to Alembic as metadata."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Protocol, cast, runtime_checkable

from sqlalchemy import Connection, Engine, MetaData, Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from cqrs_ddd_core.cqrs.repository import repository
from cqrs_ddd_core.primitives.errors import PersistenceError
from cqrs_ddd_persistence_sqlalchemy.connecting import connect
from cqrs_ddd_persistence_sqlalchemy.errors import MappingError
from cqrs_ddd_persistence_sqlalchemy.greenlets import in_greenlet
from cqrs_ddd_persistence_sqlalchemy.mapping import mapping_of
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import SQLAlchemyUnitOfWork

_LOCK = 0x43515253  # "CQRS": the advisory lock under which tables are created
_MYSQL_LOCK = "CONCAT('cqrs_ddd_schema/', MD5(DATABASE()))"  # the server's, hence the name
_PATIENCE = 60


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
    def tables(self) -> Iterable[Table]:
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

    Raises:
        DatabaseUnavailableError: there is no connection to be had.
        PersistenceError: the database refuses to create them.
    """
    metadata = metadata_of(*sources)
    await _run(engine, "created", metadata.create_all)


async def drop_schema(engine: AsyncEngine, *sources: Source) -> None:
    """Drop the tables of ``sources``, with all that is in them; none of them need exist.

    Raises:
        DatabaseUnavailableError: there is no connection to be had.
        PersistenceError: the database refuses to drop them.
    """
    metadata = metadata_of(*sources)
    await _run(engine, "dropped", metadata.drop_all)


async def _run(engine: AsyncEngine, done: str, change: Callable[[Connection], None]) -> None:
    try:
        await in_greenlet(_change, engine.sync_engine, change)
    except DBAPIError as error:
        raise PersistenceError(f"The tables could not be {done}: {error.orig}") from error


def _change(engine: Engine, change: Callable[[Connection], None]) -> None:
    """Change the schema, one process at a time; SQLite's transaction is the lock itself."""
    with connect(engine) as connection, ExitStack() as stack:
        if engine.dialect.name == "postgresql":
            # Who waited has to see what the one before has made.
            connection.execution_options(isolation_level="READ COMMITTED")
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        elif engine.dialect.name in {"mysql", "mariadb"}:
            _take_mysql_lock(connection)
            stack.callback(connection.execute, text(f"DO RELEASE_LOCK({_MYSQL_LOCK})"))
        change(connection)
        connection.commit()


def _take_mysql_lock(connection: Connection) -> None:
    found = connection.execute(text(f"SELECT GET_LOCK({_MYSQL_LOCK}, {_PATIENCE})")).scalar()
    if found != 1:
        raise PersistenceError(
            f"Another process has been changing the schema for {_PATIENCE} seconds; look for one "
            "that hangs, then try again."
        )


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
