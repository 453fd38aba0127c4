"""How jobs and timers go wrong."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cqrs_ddd_core.primitives.errors import ConcurrencyError, CQRSDDDError, NotFoundError

if TYPE_CHECKING:
    from cqrs_ddd_advanced_core.background_jobs.job import JobStatus


class JobError(CQRSDDDError):
    """Base of what goes wrong with a job."""


class InvalidJobError(JobError):
    """A job that could never be run as it was asked for."""


class JobNotFoundError(JobError, NotFoundError):
    """There is no such job; finished ones are forgotten after a time."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"There is no job {job_id!r}: it never was, or it has been purged.")


class IllegalJobTransitionError(JobError):
    """A job is in a status from which it cannot do what was asked.

    Attributes:
        job_id: the job.
        status: the one it is in.
        wanted: what it was to do.
        allowed: the statuses from which that is possible.
    """

    def __init__(
        self, job_id: str, status: "JobStatus", wanted: str, allowed: Iterable["JobStatus"]
    ) -> None:
        self.job_id, self.status, self.wanted, self.allowed = job_id, status, wanted, list(allowed)
        super().__init__(
            f"Job {job_id!r} is {status.value} and cannot {wanted}; only a job that is "
            f"{' or '.join(each.value for each in self.allowed)} can."
        )


class JobKeyTakenError(ConcurrencyError):
    """An unfinished job has the key already.

    It is a lost race where somebody else was first in the same moment: to repeat the command
    finds the other job then, and ``RetryMiddleware`` does that.

    Attributes:
        key: the key.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"The unfinished job with the key {key!r}", expected=0, actual=None)
        said = (
            f"An unfinished job has the key {key!r}. If it came in this very moment, repeat the "
            "command; else wait for it, cancel it, or use another key."
        )
        self.args = (said,)


class JobLeaseLostError(JobError):
    """A worker settles a job that it holds no more: its lease ran out and another one took over.

    Attributes:
        job_id: the job.
        epoch: the fencing token of the claim that has ended.
    """

    def __init__(self, job_id: str, epoch: int) -> None:
        self.job_id, self.epoch = job_id, epoch
        super().__init__(
            f"The claim {epoch} on job {job_id!r} has ended, so nothing of this run is kept. If "
            "this happens often, give the worker a longer lease, or keep the event loop free."
        )


class JobCancelledError(JobError):
    """A job was cancelled while it ran, so nothing of this run is kept.

    Attributes:
        job_id: the job.
    """

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"Job {job_id!r} was cancelled while it ran; its effect is undone.")


class JobTimeoutError(JobError):
    """A run of a job took longer than it may.

    Attributes:
        job_id: the job.
        timeout: what it had, in seconds.
    """

    def __init__(self, job_id: str, timeout: float) -> None:
        self.job_id, self.timeout = job_id, timeout
        super().__init__(
            f"Job {job_id!r} did not finish within {timeout:g} s and was stopped. Give it a longer "
            "timeout_seconds, or less to do."
        )
