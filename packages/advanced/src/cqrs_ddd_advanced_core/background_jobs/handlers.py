"""Which handler runs which type of job."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any, NamedTuple, Protocol

from cqrs_ddd_advanced_core.background_jobs.errors import InvalidJobError
from cqrs_ddd_advanced_core.background_jobs.running import RunningJob
from cqrs_ddd_core.primitives.retry import RetryPolicy

RunJob = Callable[[RunningJob], Awaitable[Any]]


class JobHandler(NamedTuple):
    """What runs jobs of one type.

    Attributes:
        run: does the work and returns the result.
        backoff: the delays before further attempts; None for the worker's own.
        give_up_on: errors behind which there is no further attempt.
    """

    run: RunJob
    backoff: RetryPolicy | None = None
    give_up_on: tuple[type[Exception], ...] = ()


class IJobHandlers(Protocol):
    """Where a worker finds its handlers."""

    def job_types(self) -> Collection[str]:
        """Return the types that can be run here; jobs of others are left to other workers."""
        ...

    def handler_of(self, job_type: str) -> JobHandler:
        """Return what runs jobs of this type, one of ``job_types``."""
        ...


class JobHandlers:
    """Handlers by type of job.

    Example:
        >>> handlers = JobHandlers()
        >>> @handlers.handles("ResizePhoto", give_up_on=(FileNotFoundError,))
        ... async def resize(job: RunningJob) -> str:
        ...     return f"{job.payload['photo']} is small now"
        >>> handlers.job_types()
        ['ResizePhoto']
    """

    def __init__(self) -> None:
        self._handlers: dict[str, JobHandler] = {}

    def register(
        self,
        job_type: str,
        run: RunJob,
        *,
        backoff: RetryPolicy | None = None,
        give_up_on: tuple[type[Exception], ...] = (),
    ) -> None:
        """Have ``run`` called with each job of this type.

        Args:
            job_type: the type.
            run: does the work; what it returns is kept as the result, as JSON.
            backoff: the delays before further attempts, in seconds; its ``max_attempts`` counts
                for nothing, each job has its own.
            give_up_on: errors that another attempt would meet again.

        Raises:
            InvalidJobError: the type has a handler already.
        """
        if job_type in self._handlers:
            raise InvalidJobError(f"{job_type!r} has a handler already; a type has one.")
        self._handlers[job_type] = JobHandler(run, backoff, give_up_on)

    def handles(self, job_type: str, **options: Any) -> Callable[[RunJob], RunJob]:
        """Register the decorated function (see ``register``)."""

        def decorate(run: RunJob) -> RunJob:
            self.register(job_type, run, **options)
            return run

        return decorate

    def job_types(self) -> list[str]:
        """Return the types that have a handler."""
        return list(self._handlers)

    def handler_of(self, job_type: str) -> JobHandler:
        """Return what runs jobs of this type."""
        return self._handlers[job_type]
