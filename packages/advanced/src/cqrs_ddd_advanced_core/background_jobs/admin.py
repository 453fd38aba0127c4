"""What people and their tools do with jobs."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

from cqrs_ddd_advanced_core.background_jobs.errors import JobError, JobKeyTakenError
from cqrs_ddd_advanced_core.background_jobs.job import Job, JobStatistics, JobStatus
from cqrs_ddd_advanced_core.background_jobs.service import BackgroundJobService


class BulkResult(NamedTuple):
    """What has become of several jobs.

    Attributes:
        done: the ids of those with which it was done.
        skipped: why it was not done with the others, by id.
    """

    done: list[str]
    skipped: dict[str, str]


class BackgroundJobAdminService:
    """Lists jobs, retries and cancels them, counts them, forgets old ones.

    Args:
        job_service: the jobs.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_advanced_core.background_jobs import InMemoryBackgroundJobRepository
        >>> jobs = BackgroundJobService(InMemoryBackgroundJobRepository())
        >>> admin = BackgroundJobAdminService(jobs)
        >>> async def work():
        ...     await admin.cancel_job(await jobs.schedule("Resize"))
        ...     return await admin.get_statistics()
        >>> asyncio.run(work()).cancelled
        1
    """

    def __init__(self, job_service: BackgroundJobService) -> None:
        self._jobs = job_service

    async def get_job(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            JobNotFoundError: there is none.
        """
        return await self._jobs.get(job_id)

    async def list_jobs(
        self,
        statuses: Collection[JobStatus] | None = None,
        limit: int = 100,
        offset: int = 0,
        *,
        queue: str | None = None,
        job_type: str | None = None,
    ) -> Sequence[Job]:
        """Return jobs: unfinished ones by due time, then finished ones, the latest first."""
        return await self._jobs.repository.list_jobs(
            statuses, queue=queue, job_type=job_type, limit=limit, offset=offset
        )

    async def get_statistics(self) -> JobStatistics:
        """Return how many jobs are in which status, and how long they wait."""
        return await self._jobs.repository.statistics()

    async def retry_job(self, job_id: str) -> None:
        """Give a failed or cancelled job all its attempts again, the first one now.

        Raises:
            JobNotFoundError: there is no such job.
            IllegalJobTransitionError: it has not failed and was not cancelled.
            JobKeyTakenError: another job has its key by now.
        """
        await self._jobs.retry(job_id)

    async def cancel_job(self, job_id: str) -> JobStatus:
        """Cancel a job that waits, or have one stopped that runs; return the status it had.

        Raises:
            JobNotFoundError: there is no such job.
            IllegalJobTransitionError: it has finished.
        """
        return await self._jobs.cancel(job_id)

    async def bulk_retry(self, job_ids: Iterable[str]) -> BulkResult:
        """Retry several jobs, each on its own."""
        return await _each(job_ids, self._jobs.retry)

    async def bulk_cancel(self, job_ids: Iterable[str]) -> BulkResult:
        """Cancel several jobs, each on its own."""
        return await _each(job_ids, self._jobs.cancel)

    async def purge_completed(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` jobs that finished longer ago; return how many."""
        return await self._jobs.purge(older_than, limit=limit)


async def _each(job_ids: Iterable[str], act: Callable[[str], Awaitable[object]]) -> BulkResult:
    result = BulkResult([], {})
    for job_id in job_ids:
        try:
            await act(job_id)
        except (JobError, JobKeyTakenError) as error:
            result.skipped[job_id] = str(error)
        else:
            result.done.append(job_id)
    return result
