"""One transaction, seen from inside the greenlet in which SQLAlchemy waits for the driver."""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, CursorResult, Engine, Executable

from cqrs_ddd_core.primitives.errors import PersistenceError
from cqrs_ddd_persistence_sqlalchemy.connecting import connect
from cqrs_ddd_persistence_sqlalchemy.engine import FAILED, READ_ONLY
from cqrs_ddd_persistence_sqlalchemy.errors import DatabaseUnavailableError
from cqrs_ddd_persistence_sqlalchemy.prepared import Prepared, Row, Values
from cqrs_ddd_persistence_sqlalchemy.writes import WriteQueue

_read_committed: WeakKeyDictionary[Engine, bool] = WeakKeyDictionary()


class Transaction:
    """A connection from the first statement to the end, and the writes that wait.

    Under READ COMMITTED, PostgreSQL gives every statement a snapshot of its own, so BEGIN adds
    nothing to reads. It is left out until a statement needs it, and left out altogether when all
    writes go in one statement, which is atomic by itself: two round trips instead of five.

    Attributes:
        writes: what goes to the server before the next statement or at the end.
    """

    def __init__(self, engine: Engine, *, read_only: bool) -> None:
        self._engine, self._read_only = engine, read_only
        self._connection: Connection | None = None
        self._has_begun = False
        self._failure: BaseException | None = None
        self.writes = WriteQueue()

    @property
    def is_released(self) -> bool:
        """Whether it holds no connection."""
        return self._connection is None

    @property
    def is_idle(self) -> bool:
        """Whether it holds no connection and nothing waits to be written."""
        return self._connection is None and not self.writes

    def read(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run a plain SELECT, which sees the writes that waited."""
        return self._reading().execute(statement, parameters)

    def rows(self, statement: Prepared, values: Values) -> Sequence[Row]:
        """The same with a statement that is run often."""
        return statement.rows(self._reading(), values)

    def _reading(self) -> Connection:
        """Return a connection that sees the writes that waited."""
        if self.writes or self._has_begun or not _may_leave_out_begin(self._engine):
            return self.begun()
        return self._committing()

    def begun(self) -> Connection:
        """Return the connection inside a real transaction, all writes done."""
        if not self._has_begun:
            self.release()
            connection = self._connection = connect(self._engine)
            connection.info.pop(FAILED, None)
            if self._read_only:
                connection.execution_options(**{READ_ONLY: True})
            self._has_begun = True
        assert self._connection is not None
        if _is_lost(self._connection):
            raise _lost()
        if self.writes:
            try:
                self.writes.run(self._connection)
            except BaseException as error:  # a stale version too, which is no failed statement
                self.failure = error
                raise
        return self._connection

    def commit(self, keep: bool) -> None:
        """Write what waits and make it durable; give the connection back unless it is to be kept.

        Raises:
            PersistenceError: a statement failed before, and the error was caught.
        """
        self._refuse_failure()
        in_one = self.writes.are_one_statement and not self._has_begun
        if in_one and _may_leave_out_begin(self._engine):
            self.writes.run_at_once(self._committing())
        elif self._has_begun or self.writes:
            connection = self.begun()
            self._refuse_failure()
            connection.commit()
        if not keep:
            self.release()

    def rollback(self, keep: bool) -> None:
        """Undo what was written; give the connection back unless it is to be kept."""
        self.writes.clear()
        if self._connection is not None:
            self._connection.rollback()
        self.failure = None
        if not keep:
            self.release()

    def release(self) -> None:
        """Give the connection back; what was not committed is undone."""
        self._failure = self.failure
        connection, self._connection, self._has_begun = self._connection, None, False
        if connection is not None:
            connection.close()

    @property
    def failure(self) -> BaseException | None:
        """What makes a commit impossible: an error of a statement or write that was caught."""
        connection = self._connection
        if self._failure is not None or connection is None:
            return self._failure
        if connection.invalidated:
            return _lost() if _is_lost(connection) else None
        return connection.info.get(FAILED)

    @failure.setter
    def failure(self, failure: BaseException | None) -> None:
        self._failure = failure
        if self._connection is not None and not self._connection.invalidated:
            self._connection.info.pop(FAILED, None)

    def _committing(self) -> Connection:
        """Return a connection on which each statement commits by itself."""
        if self._connection is None:
            connection = self._connection = connect(self._engine)
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.info.pop(FAILED, None)
        return self._connection

    def _refuse_failure(self) -> None:
        failed = self.failure
        if isinstance(failed, DatabaseUnavailableError):
            raise failed
        if failed is not None:
            raise PersistenceError(
                f"A statement of this transaction failed and the error was caught: {failed}. "
                "Nothing of it can be kept. Use uow.savepoint() around what may fail."
            ) from failed


def _is_lost(connection: Connection) -> bool:
    """Whether it broke down inside the transaction; after a rollback, SQLAlchemy takes another."""
    return connection.invalidated and connection.in_transaction()


def _lost() -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        "The transaction", "its connection was lost", "Repeat it in a new unit of work."
    )


def _may_leave_out_begin(engine: Engine) -> bool:
    """Whether statements without BEGIN do what they would do with it; asked once an engine.

    Not where somebody listens to BEGIN, to set a tenant for row-level security, for instance.
    """
    found = _read_committed.get(engine)
    if found is None:
        found = engine.dialect.name == "postgresql" and not engine.dispatch.begin
        if found:
            with connect(engine) as connection:
                found = connection.get_isolation_level() == "READ COMMITTED"
        _read_committed[engine] = found
    return found
