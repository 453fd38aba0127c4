"""The port of the table that jobs and timers wait in."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from cqrs_ddd_advanced_core.background_jobs.job import (
    Heartbeat,
    Job,
    JobSettlement,
    JobStatistics,
    JobStatus,
)
from cqrs_ddd_core.ports import IUnitOfWork


@runtime_checkable
class IBackgroundJobRepository(Protocol):
    """Keeps jobs and timers, and gives each to one worker at a time.

    ``add``, ``find``, ``settle``, ``cancel``, ``reschedule`` and ``retry`` join the unit of work
    that is given or current; without one, each is a transaction of its own, as are all others.
    What is due, and which lease holds, is decided by the store's clock.

    A claim is a lease with a fencing token, the job's ``epoch``. When the lease runs out, ``sweep``
    frees the job for another claim, and the earlier holder settles nothing any more.
    """

    # -- asking for jobs ------------------------------------------------------------------------

    async def add(self, job: Job, uow: IUnitOfWork | None = None) -> None:
        """Add a pending job.

        Raises:
            JobKeyTakenError: now or at commit, when an unfinished job has its key.
            PersistenceError: now or at commit, when its id is there already.
        """
        ...

    async def find(self, job_id: str, uow: IUnitOfWork | None = None) -> Job | None:
        """Return the job with this id."""
        ...

    async def find_by_key(self, key: str, uow: IUnitOfWork | None = None) -> Job | None:
        """Return the unfinished job with this key."""
        ...

    async def cancel(self, job_id: str, uow: IUnitOfWork | None = None) -> JobStatus | None:
        """Cancel a pending job, or ask for the end of a running one.

        Returns the status that it had: PENDING is cancelled now, RUNNING is asked to end, others
        are left as they are. None when there is no such job.
        """
        ...

    async def reschedule(
        self, job_id: str, due_at: datetime, uow: IUnitOfWork | None = None
    ) -> JobStatus | None:
        """Move a pending job to another time; return the status it had, None without the job."""
        ...

    async def retry(self, job_id: str, uow: IUnitOfWork | None = None) -> JobStatus | None:
        """Make a failed or cancelled job pending, due now, its attempts counted from the start.

        Returns the status that it had; others are left as they are. None without the job.

        Raises:
            JobKeyTakenError: now or at commit, when another unfinished job has its key by now.
        """
        ...

    # -- running them ---------------------------------------------------------------------------

    async def claim(
        self,
        queues: Mapping[str, int],
        *,
        worker: str,
        lease: float,
        job_types: Collection[str] | None = None,
    ) -> Sequence[Job]:
        """Make due jobs RUNNING and return them: the highest priority first, then the oldest.

        Args:
            queues: how many of each queue, at most.
            worker: who claims.
            lease: seconds the claim holds.
            job_types: only these; all by default.
        """
        ...

    async def claim_one(self, job_id: str, *, worker: str, lease: float, epoch: int | None) -> Job:
        """Make one pending job RUNNING, due or not.

        Args:
            job_id: the job.
            worker: who claims.
            lease: seconds the claim holds.
            epoch: of the reservation that must still hold; None where there is none.

        Raises:
            JobNotFoundError: there is no such job.
            IllegalJobTransitionError: it is not pending.
            JobLeaseLostError: somebody else has reserved it since.
        """
        ...

    async def reserve(self, limit: int, *, worker: str, seconds: float) -> Sequence[Job]:
        """Hide at most ``limit`` due jobs from every claim for some seconds, and return them.

        They stay pending. What is not claimed by then is due again.
        """
        ...

    async def heartbeat(self, beats: Sequence[Heartbeat], *, lease: float) -> Mapping[str, bool]:
        """Renew claims and write down progress.

        Returns, for each job whose claim still holds, whether it is to be cancelled. A job that is
        missing from the answer has been lost.
        """
        ...

    async def settle(self, settlement: JobSettlement, uow: IUnitOfWork | None = None) -> None:
        """Settle one job in the transaction of its effect.

        Raises:
            JobLeaseLostError: now or at commit, when the claim has ended.
            JobCancelledError: now or at commit, when the job was cancelled meanwhile.
        """
        ...

    async def settle_all(self, settlements: Sequence[JobSettlement]) -> set[str]:
        """Settle jobs whose effects are done; return the ids of those whose claim had ended."""
        ...

    async def sweep(self, *, retry_in: float, limit: int = 1000) -> Sequence[Job]:
        """Free jobs whose lease ran out, and return them as they were.

        One that may be tried again is pending, due in ``retry_in`` seconds; else it has failed.
        One that was to be cancelled is. One that recurs always comes again.
        """
        ...

    async def next_due_in(self, queues: Collection[str]) -> float | None:
        """Return the seconds until the next pending job of ``queues`` is due; None without one."""
        ...

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
        ...

    async def statistics(self) -> JobStatistics:
        """Return how the jobs stand."""
        ...

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` jobs that finished longer ago; return how many."""
        ...
