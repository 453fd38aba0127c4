"""Jobs in memory."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from cqrs_ddd_advanced_core.background_jobs.errors import (
    IllegalJobTransitionError,
    JobCancelledError,
    JobKeyTakenError,
    JobLeaseLostError,
    JobNotFoundError,
)
from cqrs_ddd_advanced_core.background_jobs.job import (
    RETRYABLE,
    Heartbeat,
    Job,
    JobSettlement,
    JobStatistics,
    JobStatus,
)
from cqrs_ddd_core.adapters.memory.database import InMemoryTransaction
from cqrs_ddd_core.adapters.memory.joining import joined_transaction, run_or_stage
from cqrs_ddd_core.ports import IUnitOfWork
from cqrs_ddd_core.primitives.clock import as_utc, utc_now
from cqrs_ddd_core.primitives.errors import ConcurrencyError, PersistenceError

_LEASE_ENDED = "The lease ended: the worker was killed, or could not reach the store."


class _Entry(NamedTuple):
    """A job, and how often it has been written."""

    job: Job
    revision: int


class _Write(NamedTuple):
    """A job that a unit of work has written, and the revision that it found."""

    job: Job
    base: int


class InMemoryBackgroundJobRepository:
    """Keeps jobs; joins an ``InMemoryUnitOfWork`` (see ``IBackgroundJobRepository``).

    Due times and leases go by the clock in force.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_advanced_core.background_jobs import Job
        >>> jobs, now = InMemoryBackgroundJobRepository(), utc_now()
        >>> asyncio.run(jobs.add(Job(job_id="j-1", job_type="report", created_at=now, due_at=now)))
        >>> [job.job_id for job in asyncio.run(jobs.claim({"default": 5}, worker="w", lease=30))]
        ['j-1']
    """

    def __init__(self) -> None:
        self._jobs: dict[str, _Entry] = {}

    # -- asking for jobs ------------------------------------------------------------------------

    async def add(self, job: Job, uow: IUnitOfWork | None = None) -> None:
        """Add a pending job."""
        transaction = joined_transaction(uow, to_write=True)
        if self._seen(transaction, job.job_id) is not None:
            raise PersistenceError(f"There is a job {job.job_id!r} already; a job_id is unique.")
        self._refuse_taken_key(job, self._visible(transaction))
        self._write(transaction, job, found=None)

    async def find(self, job_id: str, uow: IUnitOfWork | None = None) -> Job | None:
        """Return the job with this id."""
        return self._seen(joined_transaction(uow), job_id)

    async def find_by_key(self, key: str, uow: IUnitOfWork | None = None) -> Job | None:
        """Return the unfinished job with this key."""
        visible = self._visible(joined_transaction(uow))
        return next((job for job in visible if job.key == key and not job.status.is_final), None)

    async def cancel(self, job_id: str, uow: IUnitOfWork | None = None) -> JobStatus | None:
        """Cancel a pending job, or ask for the end of a running one."""
        transaction = joined_transaction(uow, to_write=True)
        job = self._seen(transaction, job_id)
        if job is None:
            return None
        if job.status is JobStatus.PENDING:
            gone = replace(job, status=JobStatus.CANCELLED, finished_at=utc_now())
            self._write(transaction, gone, found=job)
        elif job.status is JobStatus.RUNNING:
            self._write(transaction, replace(job, cancel_requested=True), found=job)
        return job.status

    async def reschedule(
        self, job_id: str, due_at: datetime, uow: IUnitOfWork | None = None
    ) -> JobStatus | None:
        """Move a pending job to another time."""
        transaction = joined_transaction(uow, to_write=True)
        job = self._seen(transaction, job_id)
        if job is None:
            return None
        if job.status is JobStatus.PENDING:
            moved = replace(
                job, due_at=as_utc(due_at), occurs_at=as_utc(due_at), epoch=job.epoch + 1
            )
            self._write(transaction, moved, found=job)
        return job.status

    async def retry(self, job_id: str, uow: IUnitOfWork | None = None) -> JobStatus | None:
        """Make a failed or cancelled job pending, due now."""
        transaction = joined_transaction(uow, to_write=True)
        job = self._seen(transaction, job_id)
        if job is None:
            return None
        if job.status in RETRYABLE:
            again = replace(
                job,
                status=JobStatus.PENDING,
                due_at=utc_now(),
                occurs_at=job.occurrence,
                attempts=0,
                cancel_requested=False,
                finished_at=None,
            )
            self._refuse_taken_key(again, self._visible(transaction))
            self._write(transaction, again, found=job)
        return job.status

    # -- running them ---------------------------------------------------------------------------

    async def claim(
        self,
        queues: Mapping[str, int],
        *,
        worker: str,
        lease: float,
        job_types: Collection[str] | None = None,
    ) -> Sequence[Job]:
        """Make due jobs RUNNING and return them."""
        due = self._due(job_types)
        return [
            self._claimed(job, worker, lease)
            for queue, limit in queues.items()
            for job in [each for each in due if each.queue == queue][: max(0, limit)]
        ]

    async def claim_one(self, job_id: str, *, worker: str, lease: float, epoch: int | None) -> Job:
        """Make one pending job RUNNING, due or not."""
        entry = self._jobs.get(job_id)
        if entry is None:
            raise JobNotFoundError(job_id)
        if entry.job.status is not JobStatus.PENDING:
            raise IllegalJobTransitionError(job_id, entry.job.status, "run", [JobStatus.PENDING])
        if epoch is not None and entry.job.epoch != epoch:
            raise JobLeaseLostError(job_id, epoch)
        return self._claimed(entry.job, worker, lease)

    async def reserve(self, limit: int, *, worker: str, seconds: float) -> Sequence[Job]:
        """Hide at most ``limit`` due jobs from every claim for some seconds."""
        until = utc_now() + timedelta(seconds=seconds)
        return [
            self._put(
                replace(
                    job,
                    due_at=until,
                    occurs_at=job.occurrence,
                    epoch=job.epoch + 1,
                    worker=worker,
                )
            )
            for job in self._due(None)[:limit]
        ]

    async def heartbeat(self, beats: Sequence[Heartbeat], *, lease: float) -> Mapping[str, bool]:
        """Renew claims and write down progress."""
        until, held = utc_now() + timedelta(seconds=lease), dict[str, bool]()
        for beat in beats:
            job = self._held(beat.job_id, beat.epoch)
            if job is not None:
                held[beat.job_id] = job.cancel_requested
                self._put(
                    replace(
                        job,
                        lease_until=until,
                        progress=beat.progress,
                        progress_note=beat.progress_note,
                    )
                )
        return held

    async def settle(self, settlement: JobSettlement, uow: IUnitOfWork | None = None) -> None:
        """Settle one job in the transaction of its effect."""
        transaction = joined_transaction(uow, to_write=True)

        def check() -> None:
            job = self._held(settlement.job_id, settlement.epoch)
            if job is None:
                raise JobLeaseLostError(settlement.job_id, settlement.epoch)
            if job.cancel_requested:
                raise JobCancelledError(settlement.job_id)

        def apply() -> None:
            self._settle(settlement)

        check()
        if transaction is not None:  # a heartbeat may write the job meanwhile: its claim decides
            job, own = self._jobs[settlement.job_id].job, self._own(transaction)
            own[job.job_id] = _Write(_settled(job, settlement), self._revision(job.job_id))
            transaction.pending[self] = tuple(own.values())
        run_or_stage(transaction, apply, check)

    async def settle_all(self, settlements: Sequence[JobSettlement]) -> set[str]:
        """Settle jobs whose effects are done; return those whose claim had ended."""
        return {each.job_id for each in settlements if not self._settle(each)}

    async def sweep(self, *, retry_in: float, limit: int = 1000) -> Sequence[Job]:
        """Free jobs whose lease ran out, and return them as they were."""
        now = utc_now()
        stale = [
            entry.job
            for entry in self._jobs.values()
            if entry.job.status is JobStatus.RUNNING
            and entry.job.lease_until is not None
            and entry.job.lease_until <= now
        ][:limit]
        for job in stale:
            status = JobStatus.PENDING
            if job.cancel_requested:
                status = JobStatus.CANCELLED
            elif job.attempts >= job.max_attempts and job.recurrence is None:
                status = JobStatus.FAILED
            self._settle(
                JobSettlement(
                    job_id=job.job_id,
                    epoch=job.epoch,
                    status=status,
                    error=None if job.cancel_requested else _LEASE_ENDED,
                    due_in=retry_in,
                )
            )
        return stale

    async def next_due_in(self, queues: Collection[str]) -> float | None:
        """Return the seconds until the next pending job of ``queues`` is due."""
        times = [
            entry.job.due_at
            for entry in self._jobs.values()
            if entry.job.status is JobStatus.PENDING and entry.job.queue in queues
        ]
        return max(0.0, (min(times) - utc_now()).total_seconds()) if times else None

    # -- looking after them ---------------------------------------------------------------------

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
        found = [
            entry.job
            for entry in self._jobs.values()
            if (statuses is None or entry.job.status in statuses)
            and queue in (None, entry.job.queue)
            and job_type in (None, entry.job.job_type)
        ]
        unfinished = sorted(
            (job for job in found if job.finished_at is None), key=lambda j: (j.due_at, j.job_id)
        )
        finished = sorted(
            ((job.finished_at, job.job_id, job) for job in found if job.finished_at is not None),
            key=lambda each: each[:2],
            reverse=True,
        )
        return [*unfinished, *(job for _, _, job in finished)][offset : offset + limit]

    async def statistics(self) -> JobStatistics:
        """Return how the jobs stand."""
        jobs, now = [entry.job for entry in self._jobs.values()], utc_now()
        counts = Counter(job.status for job in jobs)
        pending = [job for job in jobs if job.status is JobStatus.PENDING]
        due = [job.due_at for job in pending if job.due_at <= now]
        return JobStatistics(
            pending=counts[JobStatus.PENDING],
            running=counts[JobStatus.RUNNING],
            completed=counts[JobStatus.COMPLETED],
            failed=counts[JobStatus.FAILED],
            cancelled=counts[JobStatus.CANCELLED],
            due=len(due),
            retrying=sum(job.error is not None for job in pending),
            oldest_due_age=(now - min(due)).total_seconds() if due else None,
            queues=dict(Counter(job.queue for job in jobs if not job.status.is_final)),
        )

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` jobs that finished longer ago; return how many."""
        before = utc_now() - older_than
        old = [
            job_id
            for job_id, (job, _) in self._jobs.items()
            if job.finished_at is not None and job.finished_at < before
        ][:limit]
        for job_id in old:
            del self._jobs[job_id]
        return len(old)

    # -- reading and writing --------------------------------------------------------------------

    def _own(self, transaction: InMemoryTransaction | None) -> dict[str, _Write]:
        """Return what the joined transaction has written and not yet committed."""
        pending: tuple[Any, ...] = ()
        if transaction is not None:
            pending = transaction.pending.get(self, ())
        return {write.job.job_id: write for write in pending}

    def _seen(self, transaction: InMemoryTransaction | None, job_id: str) -> Job | None:
        own = self._own(transaction).get(job_id)
        if own is not None:
            return own.job
        entry = self._jobs.get(job_id)
        return entry.job if entry is not None else None

    def _visible(self, transaction: InMemoryTransaction | None) -> list[Job]:
        committed = {job_id: entry.job for job_id, entry in self._jobs.items()}
        own = {job_id: write.job for job_id, write in self._own(transaction).items()}
        return list({**committed, **own}.values())

    def _write(
        self, transaction: InMemoryTransaction | None, job: Job, *, found: Job | None
    ) -> None:
        """Write ``job`` at the commit, unless somebody else has written it by then."""
        own = self._own(transaction)
        known = own.get(job.job_id)
        base = known.base if known is not None else self._revision(job.job_id)
        own[job.job_id] = _Write(job, base)

        def check() -> None:
            if self._revision(job.job_id) != base:
                actual = None if found is None else self._revision(job.job_id)
                raise ConcurrencyError(f"Job {job.job_id!r}", expected=base, actual=actual)
            committed = (entry.job for entry in self._jobs.values())
            self._refuse_taken_key(job, (each for each in committed if each.job_id not in own))

        def apply() -> None:
            self._put(job)

        if transaction is not None:
            transaction.pending[self] = tuple(own.values())
        run_or_stage(transaction, apply, check)

    def _revision(self, job_id: str) -> int:
        entry = self._jobs.get(job_id)
        return entry.revision if entry is not None else 0

    def _put(self, job: Job) -> Job:
        self._jobs[job.job_id] = _Entry(job, self._revision(job.job_id) + 1)
        return job

    def _refuse_taken_key(self, job: Job, others: Iterable[Job]) -> None:
        if job.key is None or job.status.is_final:
            return
        for other in others:
            if other.key == job.key and other.job_id != job.job_id and not other.status.is_final:
                raise JobKeyTakenError(job.key)

    def _due(self, job_types: Collection[str] | None) -> list[Job]:
        now = utc_now()
        found = (
            entry.job
            for entry in self._jobs.values()
            if entry.job.status is JobStatus.PENDING
            and entry.job.due_at <= now
            and (job_types is None or entry.job.job_type in job_types)
        )
        return sorted(found, key=lambda job: (-job.priority, job.due_at, job.job_id))

    def _claimed(self, job: Job, worker: str, lease: float) -> Job:
        now = utc_now()
        return self._put(
            replace(
                job,
                status=JobStatus.RUNNING,
                epoch=job.epoch + 1,
                attempts=job.attempts + 1,
                worker=worker,
                lease_until=now + timedelta(seconds=lease),
                started_at=now,
                progress=None,
                progress_note=None,
            )
        )

    def _held(self, job_id: str, epoch: int) -> Job | None:
        """Return the job if this claim on it has not ended."""
        entry = self._jobs.get(job_id)
        if entry is None or entry.job.status is not JobStatus.RUNNING or entry.job.epoch != epoch:
            return None
        return entry.job

    def _settle(self, settlement: JobSettlement) -> bool:
        """Settle a job whose claim holds; return whether it did."""
        job = self._held(settlement.job_id, settlement.epoch)
        if job is not None:
            self._put(_settled(job, settlement))
        return job is not None


def _settled(job: Job, settlement: JobSettlement) -> Job:
    """Return the job as it is after a settlement."""
    again, now = settlement.status is JobStatus.PENDING, utc_now()
    due_at = settlement.due_at or now + timedelta(seconds=settlement.due_in)
    return replace(
        job,
        status=settlement.status,
        lease_until=None,
        cancel_requested=False,
        due_at=as_utc(due_at) if again else job.due_at,
        occurs_at=settlement.due_at or job.occurrence,
        finished_at=None if again else now,
        attempts=job.attempts if settlement.attempts is None else settlement.attempts,
        result_data=settlement.result_data,
        error=settlement.error or job.error,
    )
