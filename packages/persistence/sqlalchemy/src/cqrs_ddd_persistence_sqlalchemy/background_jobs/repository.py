"""Jobs and timers in a table."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Table, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_advanced_core.background_jobs import (
    Job,
    JobCancelledError,
    JobKeyTakenError,
    JobLeaseLostError,
    JobSettlement,
    JobStatus,
)
from cqrs_ddd_advanced_core.background_jobs.job import RETRYABLE
from cqrs_ddd_core.ports import IUnitOfWork
from cqrs_ddd_core.primitives.clock import as_utc, utc_now
from cqrs_ddd_core.primitives.errors import PersistenceError
from cqrs_ddd_persistence_sqlalchemy.background_jobs.claims import JobClaims
from cqrs_ddd_persistence_sqlalchemy.background_jobs.operations import JobOperations
from cqrs_ddd_persistence_sqlalchemy.background_jobs.rows import job_of, job_table, row_of
from cqrs_ddd_persistence_sqlalchemy.errors import is_unique_violation, translated
from cqrs_ddd_persistence_sqlalchemy.joining import joined
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import epoch_now
from cqrs_ddd_persistence_sqlalchemy.writes import Template, Write

_HELD = ("job_id", "epoch", "status", "cancel_requested")


class SQLAlchemyBackgroundJobRepository(JobClaims, JobOperations):
    """Keeps jobs or timers in a table (see ``IBackgroundJobRepository``).

    Args:
        session_factory: the one that the units of work are made with.
        table: the table's name; timers and jobs may share one or have one each.
    """

    def __init__(
        self,
        session_factory: async_sessionmaker[AsyncSession],
        *,
        table: str = "background_jobs",
    ) -> None:
        self._session_factory = session_factory
        self._table = job_table(table)
        self._insert = Template(self._table, "insert", tuple(self._table.c.keys()))

    @property
    def table(self) -> Table:
        """The table, for ``create_schema``."""
        return self._table

    async def add(self, job: Job, uow: IUnitOfWork | None = None) -> None:
        """Add a pending job."""

        def refused(error: DBAPIError) -> Exception:
            return self._refused(error, job)

        async with joined(self._session_factory, uow) as transaction:
            transaction.write(Write(self._insert, [row_of(job)], refused))

    async def find(self, job_id: str, uow: IUnitOfWork | None = None) -> Job | None:
        """Return the job with this id."""
        return await self._one(select(self._table).where(self._table.c.job_id == job_id), uow)

    async def find_by_key(self, key: str, uow: IUnitOfWork | None = None) -> Job | None:
        """Return the unfinished job with this key."""
        return await self._one(select(self._table).where(self._table.c.active_key == key), uow)

    async def cancel(self, job_id: str, uow: IUnitOfWork | None = None) -> JobStatus | None:
        """Cancel a pending job, or ask for the end of a running one."""
        gone = {"status": "cancelled", "active_key": None, "finished_at": epoch_now()}
        return await self._alter(
            job_id,
            {JobStatus.PENDING: gone, JobStatus.RUNNING: {"cancel_requested": True}},
            uow,
        )

    async def reschedule(
        self, job_id: str, due_at: datetime, uow: IUnitOfWork | None = None
    ) -> JobStatus | None:
        """Move a pending job to another time."""
        seconds = as_utc(due_at).timestamp()
        moved = {"due_at": seconds, "occurs_at": seconds, "epoch": self._table.c.epoch + 1}
        return await self._alter(job_id, {JobStatus.PENDING: moved}, uow)

    async def retry(self, job_id: str, uow: IUnitOfWork | None = None) -> JobStatus | None:
        """Make a failed or cancelled job pending, due now."""
        again = {
            "status": "pending",
            "active_key": self._table.c.key,
            "due_at": epoch_now(),
            "attempts": 0,
            "cancel_requested": False,
            "finished_at": None,
        }
        return await self._alter(job_id, dict.fromkeys(RETRYABLE, again), uow)

    async def settle(self, settlement: JobSettlement, uow: IUnitOfWork | None = None) -> None:
        """Settle one job in the transaction of its effect, in one round trip with it."""
        values = _settled(settlement)
        held = {
            "key_job_id": settlement.job_id,
            "key_epoch": settlement.epoch,
            "key_status": "running",
            "key_cancel_requested": False,
        }
        table = self._table

        def missed(connection: Connection) -> None:
            columns = (table.c.epoch, table.c.status, table.c.cancel_requested)
            found = connection.execute(
                select(*columns).where(table.c.job_id == settlement.job_id)
            ).first()
            if found is None or found[:2] != (settlement.epoch, "running"):
                raise JobLeaseLostError(settlement.job_id, settlement.epoch)
            if found.cancel_requested:
                raise JobCancelledError(settlement.job_id)

        def refused(error: DBAPIError) -> Exception:
            return translated(error, f"Job {settlement.job_id!r}")

        template = Template(table, "update", tuple(values), _HELD)
        async with joined(self._session_factory, uow) as transaction:
            transaction.write(Write(template, [{**values, **held}], refused, missed))

    async def _one(self, statement: Select[Any], uow: IUnitOfWork | None) -> Job | None:
        async with joined(self._session_factory, uow) as transaction:
            row: RowMapping | None = (await transaction.read(statement)).mappings().first()
        return None if row is None else job_of(row)

    async def _alter(
        self,
        job_id: str,
        changes: Mapping[JobStatus, Mapping[str, Any]],
        uow: IUnitOfWork | None,
    ) -> JobStatus | None:
        """Change a job as its status says; return the status that it had."""
        table = self._table
        locked = select(table).where(table.c.job_id == job_id).with_for_update()
        async with joined(self._session_factory, uow) as transaction:
            transaction.ensure_writable()
            try:
                row = (await transaction.execute(locked)).mappings().first()
                if row is None:
                    return None
                status = JobStatus(row["status"])
                if status in changes:
                    changed = update(table).where(table.c.job_id == job_id)
                    await transaction.execute(changed.values(**changes[status]))
            except DBAPIError as error:
                raise self._not_changed(error, job_id) from error
            return status

    def _not_changed(self, error: DBAPIError, job_id: str) -> Exception:
        if isinstance(error, IntegrityError) and "active_key" in str(error.orig):
            return JobKeyTakenError(f"of {job_id}")
        return translated(error, f"Job {job_id!r}")

    def _refused(self, error: DBAPIError, job: Job) -> Exception:
        if isinstance(error, IntegrityError) and is_unique_violation(error):
            if job.key is not None and "active_key" in str(error.orig):
                return JobKeyTakenError(job.key)
            return PersistenceError(f"There is a job {job.job_id!r} already; a job_id is unique.")
        return translated(error, f"The job table {self._table.name}")


def _settled(settlement: JobSettlement) -> dict[str, Any]:
    """Return what a settlement sets."""
    again = settlement.status is JobStatus.PENDING
    now = utc_now().timestamp()
    values: dict[str, Any] = {
        "status": settlement.status.value,
        "lease_until": None,
        "result_data": settlement.result_data,
        "finished_at": None if again else now,
    }
    if again and settlement.due_at is not None:
        values["due_at"] = values["occurs_at"] = settlement.due_at.timestamp()
    elif again:
        values["due_at"] = now + settlement.due_in
    else:
        values["active_key"] = None
    if settlement.error is not None:
        values["error"] = settlement.error
    if settlement.attempts is not None:
        values["attempts"] = settlement.attempts
    return values
