"""Work that is done later, elsewhere, by whoever has time: background jobs."""

from cqrs_ddd_advanced_core.background_jobs.admin import BackgroundJobAdminService, BulkResult
from cqrs_ddd_advanced_core.background_jobs.errors import (
    IllegalJobTransitionError,
    InvalidJobError,
    JobCancelledError,
    JobError,
    JobKeyTakenError,
    JobLeaseLostError,
    JobNotFoundError,
    JobTimeoutError,
)
from cqrs_ddd_advanced_core.background_jobs.handlers import IJobHandlers, JobHandler, JobHandlers
from cqrs_ddd_advanced_core.background_jobs.job import (
    Heartbeat,
    Job,
    JobSettlement,
    JobStatistics,
    JobStatus,
)
from cqrs_ddd_advanced_core.background_jobs.memory import InMemoryBackgroundJobRepository
from cqrs_ddd_advanced_core.background_jobs.recurrence import CatchUp, Recurrence
from cqrs_ddd_advanced_core.background_jobs.repository import IBackgroundJobRepository
from cqrs_ddd_advanced_core.background_jobs.running import RunningJob
from cqrs_ddd_advanced_core.background_jobs.service import BackgroundJobService
from cqrs_ddd_advanced_core.background_jobs.sweeper import JobSweeperWorker
from cqrs_ddd_advanced_core.background_jobs.worker import JobWorker

__all__ = [
    "BackgroundJobAdminService",
    "BackgroundJobService",
    "BulkResult",
    "CatchUp",
    "Heartbeat",
    "IBackgroundJobRepository",
    "IJobHandlers",
    "IllegalJobTransitionError",
    "InMemoryBackgroundJobRepository",
    "InvalidJobError",
    "Job",
    "JobCancelledError",
    "JobError",
    "JobHandler",
    "JobHandlers",
    "JobKeyTakenError",
    "JobLeaseLostError",
    "JobNotFoundError",
    "JobSettlement",
    "JobStatistics",
    "JobStatus",
    "JobSweeperWorker",
    "JobTimeoutError",
    "JobWorker",
    "Recurrence",
    "RunningJob",
]
