"""The dialect of each database, by SQLAlchemy's name for it."""

from cqrs_ddd_core.primitives.errors import PersistenceError
from cqrs_ddd_persistence_sqlalchemy.specifications.dialect import SqlDialect
from cqrs_ddd_persistence_sqlalchemy.specifications.mysql import MySQLDialect
from cqrs_ddd_persistence_sqlalchemy.specifications.postgresql import PostgreSQLDialect
from cqrs_ddd_persistence_sqlalchemy.specifications.sqlite import SQLiteDialect

_DIALECTS: dict[str, SqlDialect] = {
    "postgresql": PostgreSQLDialect(),
    "mysql": MySQLDialect(),
    "mariadb": MySQLDialect(),
    "sqlite": SQLiteDialect(),
}


def dialect_named(name: str) -> SqlDialect:
    """Return the dialect of a database.

    Raises:
        PersistenceError: the toolkit does not know this database.
    """
    found = _DIALECTS.get(name)
    if found is None:
        raise PersistenceError(
            f"Searches are not available on {name!r}; there are {', '.join(_DIALECTS)}."
        )
    return found
