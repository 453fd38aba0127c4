"""Database errors in the toolkit's words."""

from sqlalchemy.exc import DBAPIError, IntegrityError

from cqrs_ddd_core.primitives.errors import ConcurrencyError, PersistenceError

_LOST_RACES = frozenset({"40001", "40P01", "1213", "1205", "55P03"})
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


def translated(error: DBAPIError, target: str) -> Exception:
    """Return what the error means: a lost race, or a store that could not do it."""
    if lost_race(error):
        return ConcurrencyError(target, expected=None, actual=None)
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


def is_key_conflict(error: IntegrityError, table: str, key: str) -> bool:
    """Whether an insert failed because the primary key is taken."""
    message = str(error.orig)
    return any(
        sign in message for sign in (f"{table}_pkey", "'PRIMARY'", f"{table}.{key}", "PRIMARY")
    )


def is_unique_violation(error: IntegrityError) -> bool:
    """Whether a value that must be unique is taken; else it is a foreign key, a check, a null."""
    message = str(error.orig).lower()
    return any(sign in message for sign in ("unique", "duplicate"))
