"""How workers claim jobs, keep them and settle them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Executable,
    LargeBinary,
    RowMapping,
    Select,
    Table,
    Text,
    bindparam,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_advanced_core.background_jobs import (
    Heartbeat,
    IllegalJobTransitionError,
    Job,
    JobLeaseLostError,
    JobNotFoundError,
    JobSettlement,
    JobStatus,
)
from cqrs_ddd_persistence_sqlalchemy.background_jobs.rows import job_of
from cqrs_ddd_persistence_sqlalchemy.conditions import is_one_of
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import epoch_now
from cqrs_ddd_persistence_sqlalchemy.own_transactions import OwnTransactions

_LEASE_ENDED = "The lease ended: the worker was killed, or could not reach the store."
_SETTLED = (
    "status",
    "active_key",
    "due_at",
    "occurs_at",
    "finished_at",
    "attempts",
    "result_data",
    "error",
)

# Written out: a plan for any parameter could not use an index of pending or running rows alone.
_PENDING: ColumnElement[str] = literal_column("'pending'")
_RUNNING: ColumnElement[str] = literal_column("'running'")
_COMPLETE = (
    "UPDATE {0} AS j SET status = 'completed', active_key = NULL, lease_until = NULL, "
    "cancel_requested = false, finished_at = extract(epoch FROM now()), result_data = v.result "
    "FROM unnest(CAST(:ids AS text[]), CAST(:epochs AS bigint[]), CAST(:results AS bytea[])) "
    'AS v(job_id, epoch, result) WHERE j.job_id = v.job_id COLLATE "C" AND j.epoch = v.epoch '
    "AND j.status = 'running' RETURNING j.job_id, j.epoch"
)


class JobClaims(OwnTransactions):
    """Claims on the rows of a table of jobs (see ``IBackgroundJobRepository``)."""

    _table: Table

    async def claim(
        self,
        queues: Mapping[str, int],
        *,
        worker: str,
        lease: float,
        job_types: Collection[str] | None = None,
    ) -> Sequence[Job]:
        """Make due jobs RUNNING and return them."""
        claimed: list[Job] = []
        for queue, limit in queues.items():
            if limit > 0:
                due = self._due(limit, queue, job_types)
                claimed += await self._claim_due(due, self._claim_values(worker, lease))
        return claimed

    async def reserve(self, limit: int, *, worker: str, seconds: float) -> Sequence[Job]:
        """Hide at most ``limit`` due jobs from every claim for some seconds."""
        values = {
            "due_at": epoch_now() + seconds,
            "epoch": self._table.c.epoch + 1,
            "worker": worker,
        }
        return await self._claim_due(self._due(limit, None, None), values)

    async def claim_one(self, job_id: str, *, worker: str, lease: float, epoch: int | None) -> Job:
        """Make one pending job RUNNING, due or not."""

        async def work(connection: AsyncConnection) -> Job:
            table = self._table
            one = table.c.job_id == job_id
            row = (await connection.execute(select(table).where(one).with_for_update())).first()
            if row is None:
                raise JobNotFoundError(job_id)
            if row.status != JobStatus.PENDING:
                raise IllegalJobTransitionError(
                    job_id, JobStatus(row.status), "run", [JobStatus.PENDING]
                )
            if epoch is not None and row.epoch != epoch:
                raise JobLeaseLostError(job_id, epoch)
            values = self._claim_values(worker, lease)
            await connection.execute(update(table).where(one).values(values))
            found = await connection.execute(select(table).where(one))
            return job_of(found.mappings().one())

        return await self._repeated(work)

    async def heartbeat(self, beats: Sequence[Heartbeat], *, lease: float) -> Mapping[str, bool]:
        """Renew claims and write down progress."""
        if not beats:
            return {}
        renewed = self._of_a_claim().values(
            lease_until=epoch_now() + lease,
            progress=bindparam("new_progress"),
            progress_note=bindparam("new_note"),
        )

        async def work(connection: AsyncConnection) -> Mapping[str, bool]:
            held = await self._held(connection, beats)
            parameters = [
                {
                    "the_job": beat.job_id,
                    "new_progress": beat.progress,
                    "new_note": beat.progress_note,
                }
                for beat in beats
                if _holds(beat, held)
            ]
            if parameters:
                await connection.execute(renewed, parameters)
            return {job_id: bool(row["cancel_requested"]) for job_id, row in held.items()}

        return await self._repeated(work)

    async def settle_all(self, settlements: Sequence[JobSettlement]) -> set[str]:
        """Settle jobs whose effects are done; return those whose claim had ended."""
        if not settlements:
            return set()
        if self._dialect.name == "postgresql" and all(
            each.status is JobStatus.COMPLETED for each in settlements
        ):
            return await self._complete_all(settlements)

        async def work(connection: AsyncConnection) -> set[str]:
            held = await self._held(connection, settlements)
            kept = [(each, held[each.job_id]) for each in settlements if _holds(each, held)]
            await self._write_settled(connection, kept)
            return {each.job_id for each in settlements if not _holds(each, held)}

        return await self._repeated(work)

    async def _complete_all(self, settlements: Sequence[JobSettlement]) -> set[str]:
        """Complete jobs in one statement, which most batches of most workers are."""
        statement = text(
            _COMPLETE.format(self._dialect.identifier_preparer.quote(self._table.name))
        )
        statement = statement.bindparams(
            bindparam("ids", type_=ARRAY(Text())),
            bindparam("epochs", type_=ARRAY(BigInteger())),
            bindparam("results", type_=ARRAY(LargeBinary())),
        )
        parameters = {
            "ids": [each.job_id for each in settlements],
            "epochs": [each.epoch for each in settlements],
            "results": [each.result_data for each in settlements],
        }

        async def work(connection: AsyncConnection) -> set[tuple[str, int]]:
            found = await connection.execute(statement, parameters)
            return {(row.job_id, row.epoch) for row in found}

        done = await self._repeated(work)
        return {each.job_id for each in settlements if (each.job_id, each.epoch) not in done}

    async def sweep(self, *, retry_in: float, limit: int = 1000) -> Sequence[Job]:
        """Free jobs whose lease ran out, and return them as they were."""
        table = self._table
        stale = (
            select(table, epoch_now().label("now"))
            .where(table.c.status == _RUNNING, table.c.lease_until <= epoch_now())
            .limit(limit)
            .with_for_update(skip_locked=True)
        )

        async def work(connection: AsyncConnection) -> Sequence[Job]:
            rows = (await connection.execute(stale)).mappings().all()
            await self._write_settled(
                connection, [(_after_the_lease(row, retry_in), row) for row in rows]
            )
            return [job_of(row) for row in rows]

        return await self._repeated(work)

    async def next_due_in(self, queues: Collection[str]) -> float | None:
        """Return the seconds until the next pending job of ``queues`` is due."""
        table = self._table
        statement = select(func.min(table.c.due_at) - epoch_now()).where(
            table.c.status == _PENDING,
            is_one_of(table.c.queue, list(queues), self._dialect),
        )
        found = await self._query(statement)
        seconds = found.scalar()
        return None if seconds is None else max(0.0, float(seconds))

    # -- statements -----------------------------------------------------------------------------

    def _due(self, limit: int, queue: str | None, job_types: Collection[str] | None) -> Select[Any]:
        """Return the statement that finds and locks due jobs, those that others lock left out."""
        table = self._table
        due = (
            select(table, epoch_now().label("now"))
            .where(table.c.status == _PENDING, table.c.due_at <= epoch_now())
            .order_by(table.c.rank, table.c.due_at, table.c.job_id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        if queue is not None:
            due = due.where(table.c.queue == queue)
        if job_types is not None:
            due = due.where(is_one_of(table.c.job_type, list(job_types), self._dialect))
        return due

    async def _claim_due(
        self, due: Select[Any], values: Mapping[str, ColumnElement[Any] | Any]
    ) -> list[Job]:
        table = self._table
        if self._dialect.name == "postgresql":
            picked = due.with_only_columns(table.c.job_id).cte("picked")
            statement: Executable = (
                update(table)
                .where(table.c.job_id == picked.c.job_id)
                .values(values)
                .returning(table)
            )
            found = await self._query(statement)
            jobs = [job_of(row) for row in found.mappings()]
            return sorted(jobs, key=lambda job: (-job.priority, job.due_at, job.job_id))

        async def work(connection: AsyncConnection) -> list[Job]:
            ids = [row.job_id for row in await connection.execute(due)]
            if not ids:
                return []
            chosen = table.c.job_id.in_(ids)
            await connection.execute(update(table).where(chosen).values(values))
            rows = (await connection.execute(select(table).where(chosen))).mappings()
            jobs = {row["job_id"]: job_of(row) for row in rows}
            return [jobs[job_id] for job_id in ids]

        return await self._repeated(work)

    def _claim_values(self, worker: str, lease: float) -> dict[str, Any]:
        table = self._table
        return {
            "status": JobStatus.RUNNING.value,
            "epoch": table.c.epoch + 1,
            "attempts": table.c.attempts + 1,
            "worker": worker,
            "lease_until": epoch_now() + lease,
            "started_at": epoch_now(),
            "progress": None,
            "progress_note": None,
        }

    def _of_a_claim(self) -> Any:
        return update(self._table).where(self._table.c.job_id == bindparam("the_job"))

    async def _held(
        self, connection: AsyncConnection, claims: Sequence[Heartbeat | JobSettlement]
    ) -> dict[str, RowMapping]:
        """Lock and return the jobs whose claims still hold, in one order for all workers."""
        table = self._table
        statement = (
            select(table, epoch_now().label("now"))
            .where(
                is_one_of(table.c.job_id, sorted({c.job_id for c in claims}), self._dialect),
                table.c.status == JobStatus.RUNNING.value,
            )
            .order_by(table.c.job_id)
            .with_for_update()
        )
        rows = (await connection.execute(statement)).mappings()
        wanted = {(claim.job_id, claim.epoch) for claim in claims}
        return {row["job_id"]: row for row in rows if (row["job_id"], row["epoch"]) in wanted}

    async def _write_settled(
        self, connection: AsyncConnection, kept: Sequence[tuple[JobSettlement, RowMapping]]
    ) -> None:
        if not kept:
            return
        columns: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _SETTLED}
        statement = self._of_a_claim().values(lease_until=None, cancel_requested=False, **columns)
        await connection.execute(statement, [_row_after(*each) for each in kept])


def _holds(claim: Heartbeat | JobSettlement, held: Mapping[str, RowMapping]) -> bool:
    return claim.job_id in held and held[claim.job_id]["epoch"] == claim.epoch


def _row_after(settlement: JobSettlement, row: RowMapping) -> dict[str, Any]:
    """Return the parameters that settle a row."""
    again = settlement.status is JobStatus.PENDING
    due_at, occurs_at, now = row["due_at"], row["occurs_at"], float(row["now"])
    if again and settlement.due_at is not None:
        due_at = occurs_at = settlement.due_at.timestamp()
    elif again:
        due_at = now + settlement.due_in
    attempts = settlement.attempts
    return {
        "the_job": settlement.job_id,
        "new_status": settlement.status.value,
        "new_active_key": row["key"] if again else None,
        "new_due_at": due_at,
        "new_occurs_at": occurs_at,
        "new_finished_at": None if again else now,
        "new_attempts": row["attempts"] if attempts is None else attempts,
        "new_result_data": settlement.result_data,
        "new_error": settlement.error or row["error"],
    }


def _after_the_lease(row: RowMapping, retry_in: float) -> JobSettlement:
    status = JobStatus.PENDING
    if row["cancel_requested"]:
        status = JobStatus.CANCELLED
    elif row["attempts"] >= row["max_attempts"] and row["recurrence"] is None:
        status = JobStatus.FAILED
    return JobSettlement(
        job_id=row["job_id"],
        epoch=row["epoch"],
        status=status,
        error=None if row["cancel_requested"] else _LEASE_ENDED,
        due_in=retry_in,
    )
