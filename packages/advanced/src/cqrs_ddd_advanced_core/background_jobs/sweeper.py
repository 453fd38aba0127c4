"""Frees jobs of dead workers and forgets old ones, now and then."""

from datetime import timedelta

from cqrs_ddd_advanced_core.background_jobs.service import BackgroundJobService
from cqrs_ddd_core.runtime import Periodic

_AT_ONCE = 5_000


class JobSweeperWorker(Periodic):
    """Frees jobs whose lease ran out, and forgets finished ones; a part of a ``Worker``.

    Every ``JobWorker`` frees jobs as well. This one is for loops of your own, and for retention.

    Args:
        job_service: the jobs.
        interval: seconds between two sweeps.
        keep_finished: how long finished jobs and their results are kept; None for ever.
        name: how it is called in logs and in the worker's status.

    Example:
        ``Worker([JobWorker(repository, handlers), JobSweeperWorker(jobs)]).run()``
    """

    def __init__(
        self,
        job_service: BackgroundJobService,
        *,
        interval: float = 60.0,
        keep_finished: timedelta | None = timedelta(days=7),
        name: str = "job sweeper",
    ) -> None:
        super().__init__(name, self.run_once, every=interval)
        self._jobs, self._keep = job_service, keep_finished

    async def run_once(self) -> int:
        """Sweep once; return how many jobs were freed."""
        freed = await self._jobs.process_stale_jobs()
        while self._keep is not None:
            self.progress.busy()
            if await self._jobs.purge(self._keep, limit=_AT_ONCE) < _AT_ONCE:
                break
        return freed
