"""Undo tokens in a table."""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, RowMapping, Table, delete, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_advanced_core.undo import StoredCommand, UndoStatus, UndoToken
from cqrs_ddd_core.ports import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.errors import ConcurrencyError, PersistenceError
from cqrs_ddd_persistence_sqlalchemy.errors import translated
from cqrs_ddd_persistence_sqlalchemy.joining import joined
from cqrs_ddd_persistence_sqlalchemy.types import UtcDateTime, json_type, text_type
from cqrs_ddd_persistence_sqlalchemy.writes import Template, Write

_CHANGED = ("status", "event_ids", "revision")


class SQLAlchemyUndoTokenRepository:
    """Keeps undo tokens in a table (see ``IUndoTokenRepository``).

    Args:
        session_factory: the one that the units of work are made with.
        table: the table's name.
    """

    def __init__(
        self, session_factory: async_sessionmaker[AsyncSession], *, table: str = "undo_tokens"
    ) -> None:
        self._session_factory = session_factory
        self.table = Table(
            table,
            MetaData(),
            Column("token_id", text_type(key=True), primary_key=True),
            Column("aggregate_type", text_type(), nullable=False),
            Column("aggregate_id", text_type(), nullable=False),
            Column("version", Integer(), nullable=False),
            Column("undo", json_type(), nullable=False),
            Column("redo", json_type(), nullable=False),
            Column("event_ids", json_type(), nullable=False),
            Column("status", text_type(key=True), nullable=False),
            Column("revision", Integer(), nullable=False),
            Column("created_at", UtcDateTime(), nullable=False),
            Column("expires_at", UtcDateTime(), nullable=False, index=True),
        )
        self._insert = Template(self.table, "insert", tuple(self.table.c.keys()))
        self._update = Template(self.table, "update", _CHANGED, ("token_id", "revision"))

    async def add(self, token: UndoToken, uow: IUnitOfWork | None = None) -> None:
        """Add a token."""

        def refused(error: DBAPIError) -> Exception:
            if isinstance(error, IntegrityError):
                return PersistenceError(f"There is an undo token {token.token_id!r} already.")
            return translated(error, f"Undo token {token.token_id!r}")

        async with joined(self._session_factory, uow) as transaction:
            transaction.write(Write(self._insert, [_row_of(token)], refused))

    async def find(self, token_id: str, uow: IUnitOfWork | None = None) -> UndoToken | None:
        """Return the token with this id."""
        statement = select(self.table).where(self.table.c.token_id == token_id)
        async with joined(self._session_factory, uow) as transaction:
            row = (await transaction.read(statement)).mappings().first()
        return None if row is None else _token_of(row)

    async def update(self, token: UndoToken, uow: IUnitOfWork | None = None) -> None:
        """Replace the token, which must be one revision ahead of the stored one."""
        row, expected = _row_of(token), token.revision - 1
        values = {name: row[name] for name in _CHANGED}
        values |= {"key_token_id": token.token_id, "key_revision": expected}
        revision = select(self.table.c.revision).where(self.table.c.token_id == token.token_id)

        def missed(connection: Connection) -> None:
            actual = connection.execute(revision).scalar()
            if actual != expected:
                raise ConcurrencyError(
                    f"Undo token {token.token_id!r}", expected=expected, actual=actual
                )

        def refused(error: DBAPIError) -> Exception:
            return translated(error, f"Undo token {token.token_id!r}")

        async with joined(self._session_factory, uow) as transaction:
            transaction.write(Write(self._update, [values], refused, missed))

    async def purge(self, expired_since: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` tokens that expired longer ago."""
        columns = self.table.c
        old = select(columns.token_id).where(columns.expires_at < utc_now() - expired_since)
        async with joined(self._session_factory) as transaction:
            ids = list((await transaction.read(old.limit(limit))).scalars())
        if ids:
            async with joined(self._session_factory) as transaction:
                await transaction.execute(delete(self.table).where(columns.token_id.in_(ids)))
        return len(ids)


def _row_of(token: UndoToken) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(token, name) for name in UndoToken.__dataclass_fields__}
    row["status"] = token.status.value
    row["event_ids"] = list(token.event_ids)
    row["undo"], row["redo"] = _documents(token.undo), _documents(token.redo)
    return row


def _token_of(row: RowMapping) -> UndoToken:
    values: dict[str, Any] = {name: row[name] for name in UndoToken.__dataclass_fields__}
    values["status"] = UndoStatus(row["status"])
    values["event_ids"] = tuple(row["event_ids"])
    values["undo"], values["redo"] = _commands(row["undo"]), _commands(row["redo"])
    return UndoToken(**values)


def _documents(commands: Sequence[StoredCommand]) -> list[list[str]]:
    """Return commands as JSON has them, whatever bytes their codec made."""
    return [[each.command_type, b64encode(each.data).decode()] for each in commands]


def _commands(documents: Sequence[Sequence[str]]) -> tuple[StoredCommand, ...]:
    return tuple(StoredCommand(name, b64decode(data)) for name, data in documents)
