"""A job while it runs: what its handler sees and tells."""

from contextvars import ContextVar
from typing import Any

from pydantic_core import to_json

from cqrs_ddd_advanced_core.background_jobs.job import Job, JobSettlement, JobStatus
from cqrs_ddd_advanced_core.background_jobs.repository import IBackgroundJobRepository
from cqrs_ddd_core.cqrs.scope import current_scope
from cqrs_ddd_core.ports import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now


class RunningJob:
    """A claimed job in the hands of its handler.

    Attributes:
        job: the job as it was claimed.
        progress: how far the handler says it has come, from 0 to 1.
        progress_note: what it says of it.
        is_completing: whether ``complete`` has been called in a unit of work.
        is_settled: whether its end has been committed already.
    """

    def __init__(self, job: Job, repository: IBackgroundJobRepository) -> None:
        self.job, self._repository = job, repository
        self.progress: float | None = None
        self.progress_note: str | None = None
        self.is_completing = self.is_settled = False

    @property
    def job_id(self) -> str:
        """The id of the job: the same in every attempt, so good as an idempotency key."""
        return self.job.job_id

    @property
    def payload(self) -> Any:
        """What the job is to work on."""
        return self.job.payload

    def report(self, progress: float, note: str | None = None) -> None:
        """Tell how far the work has come, from 0 to 1; it is stored with the next heartbeat."""
        self.progress, self.progress_note = min(1.0, max(0.0, progress)), note

    async def complete(self, result: Any = None, uow: IUnitOfWork | None = None) -> None:
        """Settle the job in the given or current unit of work, together with its effect.

        That makes the effect happen once, whatever is killed when. The handler returns after it.

        Raises:
            JobLeaseLostError: now or at commit, when another worker has taken over.
            JobCancelledError: now or at commit, when the job was cancelled meanwhile.
        """
        scope = current_scope() if uow is None else None
        uow = scope.uow if scope is not None else uow
        self.is_completing = True
        await self._repository.settle(completed(self.job, to_json(result)), uow)
        if uow is None:
            self.is_settled = True
        else:
            uow.on_commit(self._committed)

    async def _committed(self) -> None:
        self.is_settled = True


current_job: ContextVar[RunningJob | None] = ContextVar("cqrs_ddd_current_job", default=None)
"""The job that runs in this task."""


def completed(job: Job, result_data: bytes | None) -> JobSettlement:
    """Return the settlement of a job that is done: it comes again if it recurs."""
    if job.recurrence is not None:
        return _next_occurrence(job, result_data=result_data)
    return JobSettlement(
        job_id=job.job_id, epoch=job.epoch, status=JobStatus.COMPLETED, result_data=result_data
    )


def skipped(job: Job) -> JobSettlement:
    """Return the settlement of an occurrence that is left out."""
    return _next_occurrence(job)


def failed(job: Job, error: str, *, retry_in: float | None) -> JobSettlement:
    """Return the settlement of a run that failed; ``retry_in`` is None after the last attempt."""
    if retry_in is None and job.recurrence is not None:
        return _next_occurrence(job, error=error)
    return JobSettlement(
        job_id=job.job_id,
        epoch=job.epoch,
        status=JobStatus.FAILED if retry_in is None else JobStatus.PENDING,
        error=error,
        due_in=retry_in or 0.0,
    )


def cancelled(job: Job) -> JobSettlement:
    """Return the settlement of a run that was stopped because somebody asked for it."""
    return JobSettlement(job_id=job.job_id, epoch=job.epoch, status=JobStatus.CANCELLED)


def released(job: Job) -> JobSettlement:
    """Return the settlement of a run that its worker gave up, through no fault of the job."""
    return JobSettlement(
        job_id=job.job_id, epoch=job.epoch, status=JobStatus.PENDING, attempts=job.attempts - 1
    )


def _next_occurrence(
    job: Job, *, result_data: bytes | None = None, error: str | None = None
) -> JobSettlement:
    assert job.recurrence is not None
    return JobSettlement(
        job_id=job.job_id,
        epoch=job.epoch,
        status=JobStatus.PENDING,
        due_at=job.recurrence.after(job.occurrence, utc_now()),
        attempts=0,
        result_data=result_data,
        error=error,
    )
