"""The table of commands carried out, by their idempotency keys."""

from hashlib import sha256
from typing import Any

from sqlalchemy import Column, MetaData, Table, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_core.ports import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_persistence_sqlalchemy.errors import translated
from cqrs_ddd_persistence_sqlalchemy.joining import joined
from cqrs_ddd_persistence_sqlalchemy.types import UtcDateTime, json_type, text_type
from cqrs_ddd_persistence_sqlalchemy.writes import Template, Write

_LONGEST = 255  # characters that every database can index


class SQLAlchemyIdempotencyStore:
    """Results of commands in a table (see ``IIdempotencyStore``).

    Args:
        session_factory: the one that the units of work are made with.
        table: the table's name.
    """

    def __init__(
        self, session_factory: async_sessionmaker[AsyncSession], *, table: str = "idempotency_keys"
    ) -> None:
        self._session_factory = session_factory
        self.table = Table(
            table,
            MetaData(),
            Column("key", text_type(key=True), primary_key=True),
            Column("result", json_type()),
            Column("recorded_at", UtcDateTime(), nullable=False),
        )
        self._insert = Template(self.table, "insert", ("key", "result", "recorded_at"))

    async def find(self, key: str, uow: IUnitOfWork | None = None) -> tuple[bool, Any]:
        """Return whether ``key`` is known, and the result kept under it."""
        statement = select(self.table.c.result).where(self.table.c.key == _stored(key))
        async with joined(self._session_factory, uow) as transaction:
            row = (await transaction.read(statement)).first()
        return (False, None) if row is None else (True, row[0])

    async def save(self, key: str, result: Any, uow: IUnitOfWork | None = None) -> None:
        """Keep ``result`` under ``key``.

        Raises:
            ConcurrencyError: now or at commit, when another command has taken the key.
        """
        row = {"key": _stored(key), "result": result, "recorded_at": utc_now()}

        def refused(error: DBAPIError) -> Exception:
            return _not_saved(error, key)

        async with joined(self._session_factory, uow) as transaction:
            transaction.write(Write(self._insert, [row], refused))


def _stored(key: str) -> str:
    """Return the key as the column holds it: one too long is cut, with a digest of all of it."""
    if len(key) <= _LONGEST:
        return key
    digest = sha256(key.encode()).hexdigest()
    return f"{key[: _LONGEST - len(digest) - 1]}#{digest}"


def _not_saved(error: DBAPIError, key: str) -> Exception:
    if isinstance(error, IntegrityError):
        return ConcurrencyError(f"Command {key!r}", expected=0, actual=None)
    return translated(error, f"Command {key!r}")
