"""Looking after a table of jobs: lists, statistics, retention."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import Table, case, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_advanced_core.background_jobs import Job, JobStatistics, JobStatus
from cqrs_ddd_persistence_sqlalchemy.background_jobs.rows import job_of
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import epoch_now
from cqrs_ddd_persistence_sqlalchemy.own_transactions import OwnTransactions


class JobOperations(OwnTransactions):
    """What people and their tools ask of a table of jobs (see ``IBackgroundJobRepository``)."""

    _table: Table

    async def list_jobs(
        self,
        statuses: Collection[JobStatus] | None = None,
        *,
        queue: str | None = None,
        job_type: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Sequence[Job]:
        """Return jobs: unfinished ones by due time, then finished ones, the latest first."""
        table = self._table
        unfinished = table.c.finished_at.is_(None)
        by_time = case((unfinished, table.c.due_at), else_=-table.c.finished_at)
        statement = (
            select(table)
            .order_by(case((unfinished, 0), else_=1), by_time, table.c.job_id)
            .limit(limit)
            .offset(offset)
        )
        if statuses is not None:
            statement = statement.where(table.c.status.in_([each.value for each in statuses]))
        if queue is not None:
            statement = statement.where(table.c.queue == queue)
        if job_type is not None:
            statement = statement.where(table.c.job_type == job_type)
        found = await self._query(statement)
        return [job_of(row) for row in found.mappings()]

    async def statistics(self) -> JobStatistics:
        """Return how the jobs stand."""
        table = self._table
        is_due = (table.c.status == JobStatus.PENDING.value) & (table.c.due_at <= epoch_now())
        counts = select(
            table.c.status,
            table.c.queue,
            func.count().label("jobs"),
            func.count(case((is_due, 1))).label("due"),
            func.count(case((table.c.error.is_not(None), 1))).label("with_error"),
            func.max(case((is_due, epoch_now() - table.c.due_at))).label("age"),
        ).group_by(table.c.status, table.c.queue)
        found = await self._query(counts)
        by_status, queues = dict.fromkeys(JobStatus, 0), dict[str, int]()
        due = retrying = 0
        ages: list[float] = []
        for row in found.mappings():
            status = JobStatus(row["status"])
            by_status[status] += row["jobs"]
            if not status.is_final:
                queues[row["queue"]] = queues.get(row["queue"], 0) + row["jobs"]
            if status is JobStatus.PENDING:
                retrying += row["with_error"]
            due += row["due"]
            if row["age"] is not None:
                ages.append(float(row["age"]))
        return JobStatistics(
            pending=by_status[JobStatus.PENDING],
            running=by_status[JobStatus.RUNNING],
            completed=by_status[JobStatus.COMPLETED],
            failed=by_status[JobStatus.FAILED],
            cancelled=by_status[JobStatus.CANCELLED],
            due=due,
            retrying=retrying,
            oldest_due_age=max(ages) if ages else None,
            queues=queues,
        )

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` jobs that finished longer ago; return how many."""
        table = self._table
        before = epoch_now() - older_than.total_seconds()
        old = select(table.c.job_id).where(table.c.finished_at < before).limit(limit)

        async def work(connection: AsyncConnection) -> int:
            ids = list((await connection.execute(old)).scalars())
            if not ids:
                return 0
            gone = delete(table).where(table.c.job_id.in_(ids), table.c.finished_at < before)
            return (await connection.execute(gone)).rowcount

        return await self._repeated(work)
