"""The table of snapshots."""

from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, delete, func, select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_advanced_core.snapshots import Snapshot
from cqrs_ddd_core.ports import IUnitOfWork, StreamId
from cqrs_ddd_persistence_sqlalchemy.errors import translated
from cqrs_ddd_persistence_sqlalchemy.event_store.streams import (
    STREAM,
    of_given_stream,
    of_stream,
    stream_parameters,
)
from cqrs_ddd_persistence_sqlalchemy.joining import joined
from cqrs_ddd_persistence_sqlalchemy.prepared import Prepared
from cqrs_ddd_persistence_sqlalchemy.types import UtcDateTime, bytes_type, text_type

_VALUES = ("version", "event_id", "schema", "payload", "taken_at")


class SQLAlchemySnapshotStore:
    """The latest snapshot of each stream in a table (see ``ISnapshotStore``).

    Args:
        session_factory: the one that the units of work are made with.
        table: the table's name.
    """

    def __init__(
        self, session_factory: async_sessionmaker[AsyncSession], *, table: str = "snapshots"
    ) -> None:
        self._session_factory = session_factory
        self.table = Table(
            table,
            MetaData(),
            *(Column(name, text_type(key=True), primary_key=True) for name in STREAM),
            Column("version", BigInteger(), nullable=False),
            Column("event_id", text_type(key=True), nullable=False),
            Column("schema", text_type(key=True), nullable=False),
            Column("payload", bytes_type(), nullable=False),
            Column("taken_at", UtcDateTime(), nullable=False),
        )
        values = select(*(self.table.c[name] for name in _VALUES))
        self._latest = Prepared(values.where(of_given_stream(self.table)))

    async def save_snapshot(self, snapshot: Snapshot, uow: IUnitOfWork | None = None) -> None:
        """Keep ``snapshot`` instead of an earlier one of its stream."""
        row = {
            **stream_parameters(snapshot.stream),
            **{name: getattr(snapshot, name) for name in _VALUES},
        }
        async with joined(self._session_factory, uow) as transaction:
            transaction.ensure_writable()
            dialect = transaction.engine.dialect.name
            await self._run(transaction, self._replace(dialect, row), snapshot.stream)

    async def get_latest_snapshot(
        self, stream: StreamId, uow: IUnitOfWork | None = None
    ) -> Snapshot | None:
        """Return the snapshot of ``stream``, or None."""
        async with joined(self._session_factory, uow, read_only=True) as transaction:
            try:
                rows = await transaction.rows(self._latest, stream_parameters(stream))
            except DBAPIError as error:
                raise translated(error, f"The snapshot of {stream}") from error
        if not rows:
            return None
        return Snapshot(stream=stream, **dict(zip(_VALUES, rows[0], strict=True)))

    async def delete_snapshot(self, stream: StreamId, uow: IUnitOfWork | None = None) -> None:
        """Forget the snapshot of ``stream``, if there is one."""
        async with joined(self._session_factory, uow) as transaction:
            transaction.ensure_writable()
            statement = delete(self.table).where(of_stream(self.table, stream))
            await self._run(transaction, statement, stream)

    def _replace(self, dialect: str, row: dict[str, Any]) -> Any:
        """Return the INSERT that takes the place of an earlier snapshot."""
        if dialect in {"mysql", "mariadb"}:
            new, own = mysql.insert(self.table).values(row), self.table.c
            is_older = own.version <= new.inserted.version
            kept = [(n, func.if_(is_older, new.inserted[n], own[n])) for n in reversed(_VALUES)]
            return new.on_duplicate_key_update(kept)  # in this order: the version is compared
        insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
        new = insert(self.table).values(row)
        return new.on_conflict_do_update(
            index_elements=list(STREAM),
            set_={name: new.excluded[name] for name in _VALUES},
            where=self.table.c.version <= new.excluded.version,
        )

    async def _run(self, transaction: Any, statement: Any, stream: StreamId) -> None:
        try:
            await transaction.execute(statement)
        except DBAPIError as error:
            raise translated(error, f"The snapshot of {stream}") from error
