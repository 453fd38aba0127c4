"""Asks for jobs, and runs them by hand for who has a loop of their own."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic_core import PydanticSerializationError, to_json

from cqrs_ddd_advanced_core.background_jobs.errors import (
    IllegalJobTransitionError,
    InvalidJobError,
    JobKeyTakenError,
    JobLeaseLostError,
    JobNotFoundError,
)
from cqrs_ddd_advanced_core.background_jobs.job import RETRYABLE, Heartbeat, Job, JobStatus
from cqrs_ddd_advanced_core.background_jobs.repository import IBackgroundJobRepository
from cqrs_ddd_advanced_core.background_jobs.running import cancelled, completed, failed
from cqrs_ddd_advanced_core.background_jobs.wake_up import WakeUp
from cqrs_ddd_core.cqrs.context import get_causation_id, get_correlation_id
from cqrs_ddd_core.cqrs.scope import current_scope
from cqrs_ddd_core.ports import IUnitOfWork
from cqrs_ddd_core.primitives.clock import as_utc, utc_now
from cqrs_ddd_core.primitives.ids import new_id
from cqrs_ddd_core.primitives.retry import RetryPolicy

_RACES = 5  # of callers that ask for the same unique job in the same moment
_LONGEST_NAME = 255
_BACKOFF = RetryPolicy(base_delay=1.0, max_delay=300.0)
_UNFINISHED = (JobStatus.PENDING, JobStatus.RUNNING)


class BackgroundJobService:
    """Takes jobs, in the unit of work that asks for them, and tells how they are.

    A ``JobWorker`` runs them. For a loop of your own there are ``get_pending_jobs``,
    ``mark_running``, ``mark_completed`` and ``mark_failed``; what such a loop holds is known to
    this very object.

    Args:
        repository: where the jobs are.
        lock_strategy: not needed; leases in the repository keep workers apart.
        reservation: seconds for which ``get_pending_jobs`` hides jobs from other workers.
        lease: seconds after which a job marked as running counts as dead, where it has no
            ``timeout_seconds``; ``update_progress`` begins them anew.
        backoff: the delays before another attempt in a loop of your own.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_advanced_core.background_jobs import InMemoryBackgroundJobRepository
        >>> jobs = BackgroundJobService(InMemoryBackgroundJobRepository())
        >>> async def work():
        ...     job_id = await jobs.schedule("Resize", {"photo": "p-1"})
        ...     for job in await jobs.get_pending_jobs(limit=10):
        ...         await jobs.mark_running(job.job_id)
        ...         await jobs.mark_completed(job.job_id, result={"bytes": 512})
        ...     return (await jobs.get(job_id)).result
        >>> asyncio.run(work())
        {'bytes': 512}
    """

    def __init__(
        self,
        repository: IBackgroundJobRepository,
        lock_strategy: Any = None,  # noqa: ARG002 - see above
        *,
        reservation: float = 60.0,
        lease: float = 900.0,
        backoff: RetryPolicy = _BACKOFF,
    ) -> None:
        self.repository, self.backoff = repository, backoff
        self._reservation, self._lease = reservation, lease
        self._worker = f"by hand {uuid4().hex[:8]}"
        self._reserved: dict[str, int] = {}
        self._running: dict[str, Job] = {}
        self._wake_up = WakeUp()

    # -- asking for jobs ------------------------------------------------------------------------

    def on_scheduled(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called when this process has committed a job: ``worker.trigger``."""
        self._wake_up.add(wake)

    async def schedule(
        self,
        job_type: str,
        payload: Any = None,
        scheduled_at: datetime | None = None,
        max_retries: int = 3,
        timeout_seconds: float | None = None,
        *,
        queue: str = "default",
        priority: int = 0,
        key: str | None = None,
        description: str | None = None,
        uow: IUnitOfWork | None = None,
    ) -> str:
        """Have a job done; return its id. Inside a unit of work it is asked for at the commit.

        Args:
            job_type: which handler runs it.
            payload: what it works on: anything that JSON can hold.
            scheduled_at: not before then; at once by default. Without a zone it is read as UTC.
            max_retries: how often it is tried again after it failed.
            timeout_seconds: how long one run may take.
            queue: where it waits.
            priority: a higher one is run first.
            key: makes it unique: while a job of this key is unfinished, there is no second one,
                and the id of the first is returned.
            description: for people.
            uow: the unit of work to join; the current one by default.

        Raises:
            InvalidJobError: it could never be run.
            JobKeyTakenError: at commit, when somebody else took the key in the same moment.
        """
        job = self._job(
            job_type,
            payload,
            queue=queue,
            priority=priority,
            key=key,
            description=description,
            max_attempts=max_retries + 1,
            timeout=timeout_seconds,
            due_at=as_utc(scheduled_at) if scheduled_at is not None else utc_now(),
        )
        is_alone = uow is None and current_scope() is None
        for race in range(1, _RACES + 1):
            known = await self.repository.find_by_key(key, uow) if key is not None else None
            if known is not None:
                return known.job_id
            try:
                await self.repository.add(job, uow)
            except JobKeyTakenError:
                if not is_alone or race == _RACES:
                    raise
            else:
                break
        self._wake_up.tell(uow)
        return job.job_id

    def _job(
        self,
        job_type: str,
        payload: Any,
        *,
        queue: str,
        key: str | None,
        max_attempts: int,
        timeout: float | None,
        due_at: datetime,
        **others: Any,
    ) -> Job:
        for what, name in {"type": job_type, "queue": queue, "key": key}.items():
            if name is not None and not 0 < len(name) <= _LONGEST_NAME:
                raise InvalidJobError(f"A job's {what} has 1 to {_LONGEST_NAME} characters: {name}")
        if max_attempts < 1 or (timeout is not None and timeout <= 0):
            raise InvalidJobError(
                f"{job_type} is to have {max_attempts - 1} retries and {timeout} s; retries begin "
                "at 0 and a timeout above 0."
            )
        try:
            data = to_json(payload)
        except PydanticSerializationError as error:
            raise InvalidJobError(f"The payload of {job_type} is no JSON: {error}") from error
        return Job(
            job_id=new_id(),
            job_type=job_type,
            data=data,
            queue=queue,
            key=key,
            correlation_id=get_correlation_id(),
            causation_id=get_causation_id(),
            max_attempts=max_attempts,
            timeout=timeout,
            created_at=utc_now(),
            due_at=due_at,
            **others,
        )

    async def get(self, job_id: str) -> Job:
        """Return the job with this id.

        Raises:
            JobNotFoundError: there is none.
        """
        job = await self.repository.find(job_id)
        if job is None:
            raise JobNotFoundError(job_id)
        return job

    async def cancel(self, job_id: str, uow: IUnitOfWork | None = None) -> JobStatus:
        """Cancel a job that waits, or have one stopped that runs; return the status it had.

        A running one is stopped at the next heartbeat of its worker.

        Raises:
            JobNotFoundError: there is no such job.
            IllegalJobTransitionError: it has finished.
        """
        status = await self.repository.cancel(job_id, uow)
        return _allowed(job_id, status, "be cancelled", _UNFINISHED)

    async def retry(self, job_id: str, uow: IUnitOfWork | None = None) -> None:
        """Give a failed or cancelled job all its attempts again, the first one now.

        Raises:
            JobNotFoundError: there is no such job.
            IllegalJobTransitionError: it has not failed and was not cancelled.
            JobKeyTakenError: another job has its key by now.
        """
        status = await self.repository.retry(job_id, uow)
        _allowed(job_id, status, "be retried", RETRYABLE)
        self._wake_up.tell(uow)

    # -- a loop of your own ---------------------------------------------------------------------

    async def get_pending_jobs(self, limit: int = 10) -> Sequence[Job]:
        """Reserve at most ``limit`` due jobs and return them; other workers do not see them.

        A reservation ends by itself: what is not marked as running by then is due again.
        """
        jobs = await self.repository.reserve(limit, worker=self._worker, seconds=self._reservation)
        self._reserved = {job.job_id: job.epoch for job in jobs}
        return jobs

    async def mark_running(self, job_id: str) -> Job:
        """Begin a run of a pending job, due or not, and return it.

        Raises:
            JobNotFoundError: there is no such job.
            IllegalJobTransitionError: it is not pending: it runs, or has finished.
            JobLeaseLostError: the reservation has ended and somebody else has it.
        """
        job = await self.get(job_id)
        claimed = await self.repository.claim_one(
            job_id,
            worker=self._worker,
            lease=job.timeout or self._lease,
            epoch=self._reserved.pop(job_id, None),
        )
        self._running[job_id] = claimed
        return claimed

    async def update_progress(self, job_id: str, progress: float, note: str | None = None) -> bool:
        """Tell how far a running job has come, from 0 to 1; return whether it is to be stopped.

        Raises:
            JobLeaseLostError: somebody else has it by now.
        """
        job = await self._held(job_id, "report progress")
        beat = Heartbeat(job_id=job_id, epoch=job.epoch, progress=progress, progress_note=note)
        held = await self.repository.heartbeat([beat], lease=job.timeout or self._lease)
        if job_id not in held:
            raise JobLeaseLostError(job_id, job.epoch)
        return held[job_id]

    async def mark_completed(self, job_id: str, result: Any = None) -> None:
        """End the run: the job is done.

        Raises:
            IllegalJobTransitionError: it is not running here.
            JobLeaseLostError: somebody else has it by now.
        """
        job = await self._held(job_id, "be completed")
        await self._settle(job, completed(job, to_json(result)))

    async def mark_failed(self, job_id: str, error: str) -> None:
        """End the run: it failed. The job is tried again after a delay, unless it was the last.

        Raises:
            IllegalJobTransitionError: it is not running here.
            JobLeaseLostError: somebody else has it by now.
        """
        job = await self._held(job_id, "fail")
        is_last = job.attempts >= job.max_attempts
        retry_in = None if is_last else self.backoff.delay(job.attempts)
        await self._settle(job, failed(job, error, retry_in=retry_in))

    async def mark_cancelled(self, job_id: str) -> None:
        """End the run: it was stopped because somebody asked for it.

        Raises:
            IllegalJobTransitionError: it is not running here.
            JobLeaseLostError: somebody else has it by now.
        """
        job = await self._held(job_id, "be cancelled")
        await self._settle(job, cancelled(job))

    async def _held(self, job_id: str, wanted: str) -> Job:
        """Return a job that this object has marked as running."""
        held = self._running.get(job_id)
        if held is not None:
            return held
        job = await self.get(job_id)
        if job.status is not JobStatus.RUNNING:
            raise IllegalJobTransitionError(job_id, job.status, wanted, [JobStatus.RUNNING])
        raise JobLeaseLostError(job_id, job.epoch)

    async def _settle(self, job: Job, settlement: Any) -> None:
        del self._running[job.job_id]
        if await self.repository.settle_all([settlement]):
            raise JobLeaseLostError(job.job_id, job.epoch)

    # -- looking after them ---------------------------------------------------------------------

    async def process_stale_jobs(self) -> int:
        """Free jobs whose worker died; return how many."""
        return len(await self.repository.sweep(retry_in=self.backoff.delay(1)))

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` jobs that finished longer ago; return how many."""
        return await self.repository.purge(older_than, limit=limit)


def _allowed(
    job_id: str, status: JobStatus | None, wanted: str, allowed: Sequence[JobStatus]
) -> JobStatus:
    """Return the status that a job had, which must be one of ``allowed``."""
    if status is None:
        raise JobNotFoundError(job_id)
    if status not in allowed:
        raise IllegalJobTransitionError(job_id, status, wanted, allowed)
    return status
