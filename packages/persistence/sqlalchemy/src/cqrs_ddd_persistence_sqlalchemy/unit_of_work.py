"""The unit of work on a SQL database."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import CursorResult, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncResult,
    AsyncSession,
    async_sessionmaker,
)

from cqrs_ddd_core import UnitOfWork
from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports import IAggregateGateway
from cqrs_ddd_core.primitives.errors import PersistenceError
from cqrs_ddd_persistence_sqlalchemy.engine import prepare
from cqrs_ddd_persistence_sqlalchemy.errors import lost_savepoint, translated
from cqrs_ddd_persistence_sqlalchemy.gateway import SQLAlchemyGateway
from cqrs_ddd_persistence_sqlalchemy.greenlets import in_greenlet
from cqrs_ddd_persistence_sqlalchemy.mapping import mapping_of
from cqrs_ddd_persistence_sqlalchemy.prepared import Prepared, Row, Values
from cqrs_ddd_persistence_sqlalchemy.streams import OpenStreams
from cqrs_ddd_persistence_sqlalchemy.transaction import Transaction
from cqrs_ddd_persistence_sqlalchemy.writes import Write

T = TypeVar("T")
R = TypeVar("R")


class SQLAlchemyUnitOfWork(UnitOfWork):
    """A transaction on PostgreSQL, MariaDB, MySQL or SQLite.

    A connection is held from the first statement to the end of the transaction. Writes of
    aggregates and storages wait for the next read, ``flush`` or commit, and go to the server
    together. On PostgreSQL, what needs no BEGIN does without (see ``Transaction``). ``session``
    is an ORM session on the same transaction, for models of your own.

    Args:
        session_factory: made by ``create_session_factory``, or any ``async_sessionmaker`` that is
            bound to an engine.

    Example:
        >>> from cqrs_ddd_core import AggregateRoot, repository
        >>> class Order(AggregateRoot[str]):
        ...     total: int
        >>> class ShopUnitOfWork(SQLAlchemyUnitOfWork):
        ...     orders = repository(Order, table="orders")
    """

    _lent: AsyncConnection | None = None
    _session: AsyncSession | None = None
    _transaction: Transaction | None = None
    _streams: OpenStreams | None = None

    def __init__(self, session_factory: async_sessionmaker[AsyncSession]) -> None:
        self._session_factory = session_factory

    @property
    def engine(self) -> AsyncEngine:
        """The engine that the session factory is bound to."""
        return engine_of(self._session_factory)

    @property
    def transaction(self) -> Transaction:
        """The running transaction, to be used inside a greenlet."""
        if self._transaction is None:
            engine = self.engine
            prepare(engine)
            self._transaction = Transaction(engine.sync_engine, read_only=self.read_only)
        return self._transaction

    async def read(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run a plain SELECT, which takes no locks, behind the writes that wait.

        Raises:
            DBAPIError: the statement failed; as SQLAlchemy has it.
            ConcurrencyError: a write that waited was made on a stale version.
        """
        self.ensure_usable()
        return await self._run(self.transaction.read, statement, parameters)

    async def rows(self, statement: Prepared, values: Values) -> Sequence[Row]:
        """Run a SELECT that is run often; return its rows, values in the order of the columns.

        Raises:
            DBAPIError: the statement failed; as SQLAlchemy has it.
            ConcurrencyError: a write that waited was made on a stale version.
        """
        self.ensure_usable()
        return await self._run(self.transaction.rows, statement, values)

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run any statement in the transaction, behind the writes that wait.

        Raises:
            DBAPIError: the statement failed; as SQLAlchemy has it.
            ConcurrencyError: a write that waited was made on a stale version.
        """
        self.ensure_usable()
        return await self._run(lambda: self.transaction.begun().execute(statement, parameters))

    async def stream(self, statement: Executable) -> AsyncResult[Any]:
        """Run a query whose rows stay on the server until they are read.

        It ends with the transaction; ``end_stream`` ends it before.
        """
        connection = await self.connection()
        result = await connection.stream(statement)
        if self._streams is None:
            self._streams = OpenStreams()
        self._streams.add(result)
        return result

    async def end_stream(self, result: AsyncResult[Any]) -> None:
        """Give up the rows of a stream that were not read; no harm when it has ended."""
        if self._streams is not None:
            await self._streams.close(result)

    def write(self, write: Write) -> None:
        """Have rows written with the next read, ``flush`` or commit.

        Raises:
            ReadOnlyUnitOfWorkError: it was opened for a query.
        """
        self.ensure_writable()
        self.transaction.writes.add(write)

    async def connection(self) -> AsyncConnection:
        """Return the connection of the running transaction, to run statements of your own."""
        self.ensure_usable()
        connection = await self._run(self.transaction.begun)
        if self._lent is None:
            self._lent = AsyncConnection(self.engine, connection)
        return self._lent

    async def session(self) -> AsyncSession:
        """Return an ORM session on the running transaction; flushed before the commit."""
        connection = await self.connection()
        if self._session is None:
            self._session = self._session_factory(bind=connection)
        return self._session

    async def flush(self) -> None:
        """Write changed aggregates, what the ORM session holds, and all writes that wait."""
        await super().flush()
        if self._session is not None:
            await self._session.flush()
        await self.send_writes()

    async def send_writes(self) -> None:
        """Send all writes that wait, and nothing else."""
        if self._transaction is not None and self._transaction.writes:
            await self._run(self._transaction.begun)

    async def _run(self, work: Callable[..., R], *arguments: Any) -> R:
        """Run ``work`` where SQLAlchemy may wait for the driver.

        A cancelled task waits for SQLite's thread, which would go on without it: it would take the
        lock, and nobody would give it back.
        """
        is_sqlite = self.engine.dialect.name == "sqlite"
        running = in_greenlet(work, *arguments)
        return await (shielded(running) if is_sqlite else running)

    def _gateway(self, aggregate_type: type[T], options: dict[str, Any]) -> IAggregateGateway[T]:
        return SQLAlchemyGateway(self, mapping_of(aggregate_type, options))

    async def _commit(self) -> None:
        if self._session is not None:
            await self._session.flush()
        transaction = self._transaction
        if transaction is None:
            return
        await self._end_streams()
        try:
            await shielded(in_greenlet(transaction.commit, self._lent is not None))
        except DBAPIError as error:
            raise translated(error, "The transaction") from error

    async def _rollback(self) -> None:
        if self._session is not None:
            self._session.expunge_all()
        await self._end_streams()
        transaction = self._transaction
        if transaction is not None and not transaction.is_idle:
            await in_greenlet(transaction.rollback, self._lent is not None)

    def close_at_once(self) -> bool:
        """Close, unless there is a connection to give back."""
        if self._session is None and (self._transaction is None or self._transaction.is_idle):
            self._closed = True
        return self._closed

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self._end_streams()
        self._session = self._lent = None
        if self._transaction is not None and not self._transaction.is_released:
            await in_greenlet(self._transaction.release)

    async def _end_streams(self) -> None:
        if self._streams is not None:
            await self._streams.close_all()

    @asynccontextmanager
    async def _savepoint(self) -> AsyncGenerator[None]:
        connection = await self.connection()
        failed_before = self.transaction.failure
        try:
            async with connection.begin_nested():
                try:
                    yield
                except BaseException:
                    self.transaction.writes.clear()
                    self.transaction.failure = failed_before
                    raise
        except DBAPIError as error:
            if lost_savepoint(error):
                self.transaction.failure = error
                raise translated(error, "The transaction") from error
            raise


def engine_of(session_factory: async_sessionmaker[AsyncSession]) -> AsyncEngine:
    """Return the engine that a session factory is bound to.

    Raises:
        PersistenceError: it is bound to none.
    """
    engine = session_factory.kw.get("bind")
    if not isinstance(engine, AsyncEngine):
        raise PersistenceError(
            "The session factory is bound to no engine; make it by create_session_factory(engine)."
        )
    return engine
