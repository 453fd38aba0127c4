"""Database errors in the toolkit's words."""

from typing import Any

from sqlalchemy import Table
from sqlalchemy.exc import DBAPIError, IntegrityError

from cqrs_ddd_core.primitives.errors import ConcurrencyError, PersistenceError

_LOST_RACES = frozenset({"40001", "40P01", "1213", "1205", "1020", "55P03"})
_LOST_SAVEPOINT = "SAVEPOINT sa_savepoint"


class MappingError(PersistenceError):
    """An aggregate and its table do not go together."""


class UniqueViolationError(PersistenceError):
    """A value that must be unique is taken.

    Attributes:
        table: where.
    """

    def __init__(self, table: str, detail: str) -> None:
        self.table, self.detail = table, detail
        super().__init__(f"A value in {table} must be unique and is taken: {detail}")


class DatabaseUrlError(PersistenceError):
    """A URL that leads to no database the toolkit can use."""


class DatabaseUnavailableError(PersistenceError):
    """There is no connection to the database, or there is none any more.

    Attributes:
        database: which; a password is not shown.
        reason: what the driver says.
    """

    def __init__(self, database: str, reason: str, advice: str) -> None:
        self.database, self.reason = database, reason
        super().__init__(f"{database} cannot be used: {reason.rstrip('. ')}. {advice}")


def translated(error: DBAPIError, target: str, *, expected: int | None = None) -> Exception:
    """Return what the error means: a lost race, a lost connection, or what could not be done.

    Args:
        error: the driver's error, as SQLAlchemy has it.
        target: what was read or written.
        expected: the version a change was made on.
    """
    if lost_race(error):
        return ConcurrencyError(target, expected=expected, actual=None)
    if error.connection_invalidated:
        return DatabaseUnavailableError(
            target, str(error.orig), "The connection is lost; repeat it in a new unit of work."
        )
    return PersistenceError(f"{target} could not be read or written: {error.orig}")


def lost_race(error: DBAPIError) -> bool:
    """Whether the database refused because another transaction was first."""
    message = str(error.orig)
    return (
        sqlstate_of(error) in _LOST_RACES
        or "database is locked" in message
        or _LOST_SAVEPOINT in message
    )


def lost_savepoint(error: DBAPIError) -> bool:
    """Whether a savepoint went with its transaction, which MariaDB undoes after a deadlock."""
    return _LOST_SAVEPOINT in str(error.orig)


def sqlstate_of(error: DBAPIError) -> str:
    """Return the five characters of the SQL standard, or the number that MariaDB and MySQL give."""
    origin = error.orig
    code = getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None)
    arguments = getattr(origin, "args", ())
    return str(code or (arguments[0] if arguments else ""))


def is_key_conflict(error: IntegrityError, table: Table, key: str) -> bool:
    """Whether an insert failed because the primary key is taken."""
    if not is_unique_violation(error):
        return False
    constraint = _constraint_of(error)
    if constraint is not None:
        return constraint in {table.primary_key.name, f"{table.name}_pkey"}
    message = str(error.orig.args[-1]) if error.orig is not None else ""
    on_sqlite = message.startswith(_SQLITE_UNIQUE)
    return message.endswith(f": {table.name}.{key}" if on_sqlite else _MYSQL_PRIMARY)


def is_unique_violation(error: IntegrityError) -> bool:
    """Whether a value that must be unique is taken; else it is a foreign key, a check, a null."""
    return sqlstate_of(error) in _UNIQUE or str(error.orig).startswith(_SQLITE_UNIQUE)


def _constraint_of(error: IntegrityError) -> str | None:
    """Return the constraint that PostgreSQL names."""
    origin: Any = error.orig
    diagnosis = getattr(origin, "diag", getattr(origin, "__cause__", None))
    return getattr(diagnosis, "constraint_name", None)


_UNIQUE = frozenset({"23505", "1062"})
_SQLITE_UNIQUE = "UNIQUE constraint failed"
_MYSQL_PRIMARY = ("key 'PRIMARY'", ".PRIMARY'")  # MariaDB; MySQL names the table too
