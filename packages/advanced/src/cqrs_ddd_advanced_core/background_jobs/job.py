"""A job: something to be done once, later, elsewhere, and how far that has come."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic_core import from_json

from cqrs_ddd_advanced_core.background_jobs.recurrence import Recurrence


class JobStatus(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"
    """It waits: for its time, for a worker, or for another attempt."""
    RUNNING = "running"
    """A worker has claimed it, and its lease holds until it is settled or swept."""
    COMPLETED = "completed"
    FAILED = "failed"
    """It has failed as often as it may; ``retry_job`` gives it another chance."""
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether it stays so unless a person retries it."""
        return self in FINISHED


FINISHED = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})
RETRYABLE = (JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job, as it is stored.

    Attributes:
        job_id: its id.
        job_type: which handler runs it.
        data: the encoded payload.
        queue: where it waits; workers bound how many of a queue they run at once.
        priority: a higher one is claimed first.
        key: of several unfinished jobs, one can have it.
        description: for people.
        recurrence: how it comes again; None for a job that is done once.
        correlation_id: the conversation it was scheduled in.
        causation_id: the message that scheduled it.
        max_attempts: how often it is tried; the first counts.
        timeout: how long one run may take, in seconds; None for as long as it likes.
        status: where it is in its life.
        due_at: when it is to be run, or was; later than ``occurs_at`` when it is tried again.
        occurs_at: the time that it was scheduled for; None is ``due_at``.
        attempts: how often it was begun.
        epoch: how often it was claimed: the fencing token of the latest claim.
        worker: who claimed it last.
        lease_until: until when that claim holds unless it is renewed.
        cancel_requested: whether the run is to be stopped.
        progress: how far the run has come, from 0 to 1, as far as it says.
        progress_note: what it says.
        result_data: the encoded result of a completed job.
        error: what the latest failed run failed with.
    """

    job_id: str
    job_type: str
    data: bytes = b"null"
    queue: str = "default"
    priority: int = 0
    key: str | None = None
    description: str | None = None
    recurrence: Recurrence | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    max_attempts: int = 1
    timeout: float | None = None
    created_at: datetime
    due_at: datetime
    occurs_at: datetime | None = None
    status: JobStatus = JobStatus.PENDING
    attempts: int = 0
    epoch: int = 0
    worker: str | None = None
    lease_until: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested: bool = False
    progress: float | None = None
    progress_note: str | None = None
    result_data: bytes | None = None
    error: str | None = None

    @property
    def occurrence(self) -> datetime:
        """The time that it was scheduled for, whichever attempt this is."""
        return self.occurs_at or self.due_at

    @property
    def payload(self) -> Any:
        """What the job is to work on, as JSON has it."""
        return from_json(self.data)

    @property
    def result(self) -> Any:
        """What a completed job returned, as JSON has it; None before."""
        return None if self.result_data is None else from_json(self.result_data)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettlement:
    """What has become of a claimed job, by the worker that holds it.

    Attributes:
        job_id: the job.
        epoch: the claim's; an older one is refused.
        status: where it goes. PENDING is another run: the next occurrence at ``due_at``, or
            another attempt in ``due_in`` seconds.
        result_data: the encoded result.
        error: what it failed with; None leaves the one of an earlier run.
        attempts: what to count from now on; None leaves it as it is.
    """

    job_id: str
    epoch: int
    status: JobStatus
    result_data: bytes | None = None
    error: str | None = None
    due_at: datetime | None = None
    due_in: float = 0.0
    attempts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A sign of life of one claimed job."""

    job_id: str
    epoch: int
    progress: float | None = None
    progress_note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatistics:
    """How the jobs stand.

    Attributes:
        pending: how many wait; ``due`` of them could be run now.
        retrying: how many of the pending ones have failed before.
        oldest_due_age: how long the oldest due one has waited, in seconds; None without one.
        queues: pending and running jobs by queue.
    """

    pending: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    due: int = 0
    retrying: int = 0
    oldest_due_age: float | None = None
    queues: Mapping[str, int]
