"""Sagas in two tables: where each stands, and the journals of how they came there."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Table, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_advanced_core.sagas import (
    JournalEntry,
    SagaAction,
    SagaExistsError,
    SagaInstance,
)
from cqrs_ddd_core.ports import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_persistence_sqlalchemy.errors import is_unique_violation, translated
from cqrs_ddd_persistence_sqlalchemy.joining import joined
from cqrs_ddd_persistence_sqlalchemy.sagas.claims import SagaClaims
from cqrs_ddd_persistence_sqlalchemy.sagas.held_insert import HeldInsert
from cqrs_ddd_persistence_sqlalchemy.sagas.operations import SagaLookups
from cqrs_ddd_persistence_sqlalchemy.sagas.rows import (
    entry_of,
    entry_row,
    journal_table,
    row_of,
    saga_of,
    saga_table,
)
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import SQLAlchemyUnitOfWork
from cqrs_ddd_persistence_sqlalchemy.writes import ITemplate, Template, Write

_BY_ADD = ("saga_id", "saga_type", "kind", "key", "tenant_id", "created_at")
_BY_LEASE = ("worker", "epoch", "lease_until")


class SQLAlchemySagaRepository(SagaClaims, SagaLookups):
    """Keeps sagas in a table and their journals in another (see ``ISagaRepository``).

    A save goes to the server with the other writes of its unit of work, in one round trip.

    Args:
        session_factory: the one that the units of work are made with.
        table: the name of the table of sagas.
        journal_table: the name of the table of journals.
    """

    def __init__(
        self,
        session_factory: async_sessionmaker[AsyncSession],
        *,
        table: str = "sagas",
        journal: str = "saga_journal",
    ) -> None:
        self._session_factory = session_factory
        self._table, self._journal = saga_table(table), journal_table(journal)
        columns = tuple(self._table.c.keys())
        changed = tuple(name for name in columns if name not in {*_BY_ADD, *_BY_LEASE})
        held = ("saga_id", "version")
        self._insert: ITemplate = Template(self._table, "insert", columns)
        self._insert_held: ITemplate = HeldInsert(self._table, columns)
        self._update = Template(self._table, "update", changed, held)
        self._release = Template(self._table, "update", (*changed, "lease_until"), held)
        self._note = Template(self._journal, "insert", tuple(self._journal.c.keys()))

    @property
    def tables(self) -> tuple[Table, Table]:
        """The tables, for ``create_schema``."""
        return self._table, self._journal

    async def add(
        self,
        saga: SagaInstance,
        journal: Sequence[JournalEntry] = (),
        uow: IUnitOfWork | None = None,
        *,
        lease: float | None = None,
    ) -> SagaInstance:
        """Add a saga and return it at version 1."""
        until = None if lease is None else utc_now() + timedelta(seconds=lease)
        added = replace(saga, version=1, epoch=0 if lease is None else 1, lease_until=until)
        row, template = row_of(added), self._insert
        if lease is not None:
            row, template = {**row, "lease_until": lease}, self._insert_held

        def refused(error: DBAPIError) -> Exception:
            if isinstance(error, IntegrityError) and is_unique_violation(error):
                return SagaExistsError(saga.saga_type, saga.saga_id, saga.key)
            return translated(error, f"Saga {saga.saga_id!r}")

        async with joined(self._session_factory, uow) as transaction:
            transaction.write(Write(template, [row], refused))
            self._write_down(transaction, saga.saga_id, journal)
        return added

    async def find(self, saga_id: str, uow: IUnitOfWork | None = None) -> SagaInstance | None:
        """Return the saga with this id."""
        return await self._one(select(self._table).where(self._table.c.saga_id == saga_id), uow)

    async def find_by_key(
        self,
        saga_type: str,
        key: str,
        *,
        tenant_id: str | None = None,
        uow: IUnitOfWork | None = None,
    ) -> SagaInstance | None:
        """Return the saga of this type and tenant with this key, whatever its status."""
        columns = self._table.c
        statement = select(self._table).where(
            columns.saga_type == saga_type,
            columns.key == key,
            columns.tenant_id == (tenant_id or ""),
        )
        return await self._one(statement, uow)

    async def was_handled(
        self, saga_id: str, message_id: str, uow: IUnitOfWork | None = None
    ) -> bool:
        """Return whether the journal has an EVENT entry with this ``message_id``."""
        columns = self._journal.c
        statement = select(columns.number).where(
            columns.saga_id == saga_id,
            columns.message_id == message_id,
            columns.action == SagaAction.EVENT.value,
        )
        async with joined(self._session_factory, uow, read_only=True) as transaction:
            return (await transaction.read(statement.limit(1))).first() is not None

    async def history(self, saga_id: str, uow: IUnitOfWork | None = None) -> Sequence[JournalEntry]:
        """Return the saga's journal in order."""
        columns = self._journal.c
        statement = select(self._journal).where(columns.saga_id == saga_id)
        async with joined(self._session_factory, uow, read_only=True) as transaction:
            rows = (await transaction.read(statement.order_by(columns.number))).mappings()
            return [entry_of(row) for row in rows]

    async def save(
        self,
        saga: SagaInstance,
        journal: Sequence[JournalEntry] = (),
        uow: IUnitOfWork | None = None,
        *,
        release: bool = False,
    ) -> SagaInstance:
        """Save a changed saga with further entries, and return it, one version on."""
        until = None if release else saga.lease_until
        saved = replace(saga, version=saga.version + 1, lease_until=until)
        template = self._release if release else self._update
        row = row_of(saved)
        values = {name: row[name] for name in template.columns}
        values |= {"key_saga_id": saga.saga_id, "key_version": saga.version}
        version = select(self._table.c.version).where(self._table.c.saga_id == saga.saga_id)

        def missed(connection: Connection) -> None:
            actual = connection.execute(version).scalar()
            if actual != saga.version:
                raise ConcurrencyError(
                    f"Saga {saga.saga_id!r}", expected=saga.version, actual=actual
                )

        def refused(error: DBAPIError) -> Exception:
            return translated(error, f"Saga {saga.saga_id!r}")

        async with joined(self._session_factory, uow) as transaction:
            transaction.write(Write(template, [values], refused, missed))
            self._write_down(transaction, saga.saga_id, journal)
        return saved

    def _write_down(
        self, transaction: SQLAlchemyUnitOfWork, saga_id: str, journal: Sequence[JournalEntry]
    ) -> None:
        """Write entries of a journal; two tasks that write one number cannot both commit."""

        def refused(error: DBAPIError) -> Exception:
            if isinstance(error, IntegrityError) and is_unique_violation(error):
                number = journal[0].number
                return ConcurrencyError(
                    f"The journal of saga {saga_id!r}", expected=number - 1, actual=None
                )
            return translated(error, f"The journal of saga {saga_id!r}")

        if journal:
            rows = [entry_row(saga_id, entry) for entry in journal]
            transaction.write(Write(self._note, rows, refused))

    async def _one(self, statement: Select[Any], uow: IUnitOfWork | None) -> SagaInstance | None:
        async with joined(self._session_factory, uow, read_only=True) as transaction:
            row: RowMapping | None = (await transaction.read(statement)).mappings().first()
        return None if row is None else saga_of(row)
