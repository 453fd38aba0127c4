"""One run of one job, in a task of its own."""

import asyncio
import logging
from enum import Enum, auto
from typing import Any

from pydantic_core import to_json

from cqrs_ddd_advanced_core.background_jobs.errors import (
    JobCancelledError,
    JobLeaseLostError,
    JobTimeoutError,
)
from cqrs_ddd_advanced_core.background_jobs.handlers import JobHandler
from cqrs_ddd_advanced_core.background_jobs.job import Job, JobSettlement
from cqrs_ddd_advanced_core.background_jobs.repository import IBackgroundJobRepository
from cqrs_ddd_advanced_core.background_jobs.running import (
    RunningJob,
    cancelled,
    completed,
    current_job,
    failed,
    released,
)
from cqrs_ddd_core.cqrs.context import with_correlation_context
from cqrs_ddd_core.primitives.clock import current_clock
from cqrs_ddd_core.primitives.error_text import described
from cqrs_ddd_core.primitives.retry import RetryPolicy

_log = logging.getLogger(__name__)


class Stop(Enum):
    """Why a run is stopped before it is done."""

    CANCELLED = auto()
    TIMED_OUT = auto()
    LOST = auto()
    """The claim has ended; another worker may be at it."""
    LEAVING = auto()
    """The worker has to go and cannot wait."""


class JobRun:
    """Runs a job's handler and finds out what has become of the job.

    Attributes:
        job: the job.
        running: what the handler sees.
        task: the task it runs in, which never raises.
    """

    def __init__(
        self,
        job: Job,
        handler: JobHandler,
        repository: IBackgroundJobRepository,
        backoff: RetryPolicy,
    ) -> None:
        self.job, self._handler = job, handler
        self._backoff = handler.backoff or backoff
        self.running = RunningJob(job, repository)
        self._stop: Stop | None = None
        self.task = asyncio.create_task(self._run(), name=f"{job.job_type} {job.job_id}")

    def stop(self, reason: Stop) -> None:
        """Cancel the run, unless it is being stopped already."""
        if self._stop is None and not self.task.done():
            self._stop = reason
            self.task.cancel()

    @property
    def outcome(self) -> JobSettlement | None:
        """What to settle, once the task is done; None when that has been done, or by others."""
        if self.task.cancelled():  # before its first step
            return released(self.job) if self._stop is Stop.LEAVING else self._stopped()
        return self.task.result()

    async def _run(self) -> JobSettlement | None:
        current_job.set(self.running)
        limit = self.job.timeout
        watch = asyncio.create_task(self._watch(limit)) if limit is not None else None
        try:
            with with_correlation_context(self.job.correlation_id, self.job.job_id):
                result = await self._handler.run(self.running)
        except asyncio.CancelledError as error:
            outcome = self._stopped() if self._stop is not None else self._failed(error)
        except JobLeaseLostError:
            _log.warning("Job %s was taken over while it ran", self.job.job_id)
            outcome = None
        except JobCancelledError:
            outcome = cancelled(self.job)
        except Exception as error:  # noqa: BLE001 - it is the outcome
            outcome = self._failed(error)
        else:
            outcome = self._completed(result)
        finally:
            if watch is not None:
                watch.cancel()
        return None if self.running.is_settled else outcome

    async def _watch(self, limit: float) -> None:
        await current_clock().sleep(limit)
        self.stop(Stop.TIMED_OUT)

    def _completed(self, result: Any) -> JobSettlement:
        try:
            return completed(self.job, to_json(result))
        except ValueError as error:  # what it returned is no JSON
            return self._failed(error)

    def _stopped(self) -> JobSettlement | None:
        if self._stop is Stop.CANCELLED:
            return cancelled(self.job)
        if self._stop is Stop.TIMED_OUT:
            return self._failed(JobTimeoutError(self.job.job_id, self.job.timeout or 0.0))
        return released(self.job) if self._stop is Stop.LEAVING else None

    def _failed(self, error: BaseException) -> JobSettlement:
        job = self.job
        is_last = job.attempts >= job.max_attempts or isinstance(error, self._handler.give_up_on)
        retry_in = None if is_last else self._backoff.delay(job.attempts)
        _log.warning(
            "Job %s (%s) failed in attempt %d of %d%s",
            job.job_id,
            job.job_type,
            job.attempts,
            job.max_attempts,
            "" if retry_in is None else f" and is tried again in {retry_in:.1f} s",
            exc_info=error,
        )
        return failed(job, described(error).replace("\0", "\N{SYMBOL FOR NULL}"), retry_in=retry_in)
