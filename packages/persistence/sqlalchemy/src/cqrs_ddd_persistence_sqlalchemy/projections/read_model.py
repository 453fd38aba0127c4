"""Read models as tables, one set for each version, read through views."""

from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_core.ports import IUnitOfWork
from cqrs_ddd_core.primitives.errors import PersistenceError
from cqrs_ddd_persistence_sqlalchemy.errors import MappingError, translated
from cqrs_ddd_persistence_sqlalchemy.projections.writer import DOCUMENT, SQLAlchemyReadModelWriter
from cqrs_ddd_persistence_sqlalchemy.schema import create_schema, drop_schema
from cqrs_ddd_persistence_sqlalchemy.types import json_type, text_type
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import SQLAlchemyUnitOfWork, engine_of

_LOCK = 0x43515256  # "CQRV": the advisory lock under which views change


def document_table(name: str) -> Table:
    """Return a table of JSON documents by key, for ``SQLAlchemyReadModel``.

    Example:
        >>> [column.name for column in document_table("profiles").columns]
        ['key', 'document']
    """
    return Table(
        name,
        MetaData(),
        Column("key", text_type(key=True), primary_key=True),
        Column(DOCUMENT, json_type(), nullable=False),
        info={DOCUMENT: True},
    )


class SQLAlchemyReadModel:
    """Tables that a projection writes (see ``IReadModel``).

    A version's tables are called ``<name>_v<version>``; ``<name>`` is a view of those of the live
    version, so queries on the tables that are given here go on working through every rebuild.

    Args:
        session_factory: the one that the units of work are made with.
        *tables: as they are read. Columns that not every event sets need a ``default`` or may be
            null.

    Raises:
        MappingError: a table has no primary key.
    """

    def __init__(self, session_factory: async_sessionmaker[AsyncSession], *tables: Table) -> None:
        self._session_factory, self._tables = session_factory, tables
        for table in tables:
            if not table.primary_key.columns:
                raise MappingError(f"{table.name} needs a primary key, by which rows are written.")

    def table(self, name: str, version: int) -> Table:
        """Return the table of a version."""
        for table in self._tables:
            if table.name == name:
                return _of_version(table, version)
        known = ", ".join(table.name for table in self._tables)
        raise MappingError(f"The read model has no table {name!r}; it has {known}.")

    async def create(self, version: int, *, live: bool) -> None:
        """Make the version's tables where they are missing, and views if there are none."""
        engine = engine_of(self._session_factory)
        await create_schema(engine, *(_of_version(table, version) for table in self._tables))
        if live:
            async with engine.begin() as connection:
                await connection.run_sync(self._create_views, version)

    def writer(self, version: int, uow: IUnitOfWork) -> SQLAlchemyReadModelWriter:
        """Return a writer to a version, in the transaction of ``uow``."""
        if not isinstance(uow, SQLAlchemyUnitOfWork):
            raise PersistenceError(
                f"A {type(uow).__name__} cannot write SQL tables; give the projection a factory of "
                "SQLAlchemyUnitOfWork."
            )
        tables = {table.name: _of_version(table, version) for table in self._tables}
        return SQLAlchemyReadModelWriter(tables, uow)

    async def switch(self, version: int, uow: IUnitOfWork) -> None:
        """Have ``version`` read from now on."""
        assert isinstance(uow, SQLAlchemyUnitOfWork)
        try:
            connection = await uow.connection()
            await connection.run_sync(self._replace_views, version)
        except DBAPIError as error:
            raise translated(error, "The views of the read model") from error

    async def drop(self, version: int) -> None:
        """Remove the version's tables."""
        engine = engine_of(self._session_factory)
        await drop_schema(engine, *(_of_version(table, version) for table in self._tables))

    def _create_views(self, connection: Connection, version: int) -> None:
        _lock(connection)
        known = set(inspect(connection).get_view_names())
        missing = [table for table in self._tables if table.name not in known]
        for table in missing:
            self._create_view(connection, table, version)

    def _replace_views(self, connection: Connection, version: int) -> None:
        _lock(connection)
        for table in self._tables:
            if connection.dialect.name not in {"mysql", "mariadb"}:
                name = connection.dialect.identifier_preparer.format_table(table)
                connection.execute(text(f"DROP VIEW IF EXISTS {name}"))
            self._create_view(connection, table, version)

    def _create_view(self, connection: Connection, table: Table, version: int) -> None:
        """Create a view; MariaDB and MySQL, whose changes of tables commit, replace it at once."""
        preparer = connection.dialect.identifier_preparer
        columns = ", ".join(preparer.format_column(column) for column in table.columns)
        replace = " OR REPLACE" if connection.dialect.name in {"mysql", "mariadb"} else ""
        connection.execute(
            text(
                f"CREATE{replace} VIEW {preparer.format_table(table)} AS SELECT {columns} FROM "  # noqa: S608 - names of the user's own tables
                f"{preparer.format_table(_of_version(table, version))}"
            )
        )


@lru_cache(maxsize=256)
def _of_version(table: Table, version: int) -> Table:
    """Return ``table`` under the name that it has in a version, like everything that it names."""
    copy = table.to_metadata(MetaData(), name=f"{table.name}_v{version}")
    named: list[Any] = [*copy.indexes, *copy.constraints]
    for each in named:
        if each.name is not None:
            each.name = f"{each.name}_v{version}"
    return copy


def _lock(connection: Connection) -> None:
    """Let one process at a time change views; elsewhere the database does by itself."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
