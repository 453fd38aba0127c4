"""Runs jobs: claims what is due, keeps the claims alive, stops what is to stop, settles."""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

from cqrs_ddd_advanced_core.background_jobs.handlers import IJobHandlers
from cqrs_ddd_advanced_core.background_jobs.job import Heartbeat, Job, JobSettlement
from cqrs_ddd_advanced_core.background_jobs.recurrence import CatchUp
from cqrs_ddd_advanced_core.background_jobs.repository import IBackgroundJobRepository
from cqrs_ddd_advanced_core.background_jobs.run import JobRun, Stop
from cqrs_ddd_advanced_core.background_jobs.running import skipped
from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports import Progress
from cqrs_ddd_core.primitives.clock import current_clock, utc_now
from cqrs_ddd_core.primitives.errors import ConfigurationError
from cqrs_ddd_core.primitives.message_context import current_context
from cqrs_ddd_core.primitives.retry import RetryPolicy
from cqrs_ddd_core.runtime.waiting import first_of

_log = logging.getLogger(__name__)

_SHORTEST_PAUSE, _LONGEST_OUTAGE_PAUSE = 0.005, 5.0
_LONGEST_LEAVE = 10.0
"""Seconds that handlers have to stop when the worker cannot wait for them any more."""
_MISSED_AFTER = 60.0
"""Seconds after which an occurrence that has not begun counts as missed."""
_BACKOFF = RetryPolicy(base_delay=1.0, max_delay=300.0)


class JobWorker:
    """Runs jobs by type, a bounded number of each queue at once; a part of a ``Worker``.

    Any number of them, in any number of processes, may work on one repository. A killed worker's
    jobs are run by another one when their lease has run out.

    Args:
        repository: where the jobs are.
        handlers: what runs them; jobs of other types are left alone.
        queues: how many of each queue are run at once here; ten of ``default`` unless given.
        name: how it is called in logs and in the worker's status.
        poll_interval: seconds between two looks when nothing is due; a job whose time comes
            earlier, or that this process has just scheduled, does not wait for it.
        lease: seconds for which jobs stay claimed when the process dies.
        heartbeat: seconds between two renewals, at which cancellations are heard of, too.
        backoff: the delays before another attempt, where a handler has no own.

    Raises:
        ConfigurationError: no queue, or a heartbeat too slow for the lease.
    """

    def __init__(
        self,
        repository: IBackgroundJobRepository,
        handlers: IJobHandlers,
        *,
        queues: Mapping[str, int] | None = None,
        name: str = "jobs",
        poll_interval: float = 1.0,
        lease: float = 30.0,
        heartbeat: float = 2.0,
        backoff: RetryPolicy = _BACKOFF,
    ) -> None:
        self.name = name
        self.progress = Progress()
        self._repository, self._handlers = repository, handlers
        self._queues = dict(queues if queues is not None else {"default": 10})
        self._poll_interval, self._lease, self._heartbeat = poll_interval, lease, heartbeat
        self._backoff = backoff
        self._worker = f"{socket.gethostname()}:{os.getpid()} {name}"
        self._runs: dict[tuple[str, int], JobRun] = {}
        self._unsettled: list[JobSettlement] = []
        self._woken = asyncio.Event()
        self._empty_looks = 0
        if not any(limit > 0 for limit in self._queues.values()):
            raise ConfigurationError(f"{name} has no queue to take jobs from; give it one.")
        if not 0 < heartbeat <= lease / 2:
            raise ConfigurationError(
                f"{name} renews its lease of {lease:g} s every {heartbeat:g} s; give it a "
                "heartbeat of at most half the lease."
            )

    def trigger(self) -> None:
        """Have it look for jobs now."""
        self._empty_looks = 0
        self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Run jobs until ``stopping`` is set; then finish what has begun."""
        token = current_context.set(None)  # jobs belong to conversations of their own
        beating = asyncio.create_task(self._beat(), name=f"{self.name} heartbeat")
        outage_pause = _SHORTEST_PAUSE
        try:
            while not stopping.is_set() or self._runs or self._unsettled:
                self._woken.clear()
                try:
                    pause = await self._work(is_draining=stopping.is_set())
                    outage_pause = _SHORTEST_PAUSE
                except ConfigurationError:
                    raise
                except Exception as error:  # noqa: BLE001 - the store may be back in a moment
                    _log.warning("%s cannot reach its jobs", self.name, exc_info=error)
                    self.progress.trouble(error)
                    outage_pause = pause = min(_LONGEST_OUTAGE_PAUSE, outage_pause * 2)
                await self._wait(pause, stopping)
        finally:
            current_context.reset(token)
            beating.cancel()
            await shielded(self._leave(beating))

    async def run_due(self, limit: int = 100) -> int:
        """Run at most ``limit`` jobs that are due now, to their end; return how many.

        For a command line, a cron job or a test; the jobs' claims are kept alive meanwhile.
        """
        token = current_context.set(None)
        beating = asyncio.create_task(self._beat(), name=f"{self.name} heartbeat")
        done = 0
        try:
            await self._repository.sweep(retry_in=0.0)
            while done < limit and (jobs := await self._claim(limit - done)):
                self._begin(jobs)
                done += len(jobs)
                while self._runs:
                    await asyncio.wait([run.task for run in self._runs.values()])
                    await self._settle()
        finally:
            current_context.reset(token)
            beating.cancel()
            await shielded(self._leave(beating))
        return done

    # -- one round ------------------------------------------------------------------------------

    async def _work(self, *, is_draining: bool) -> float:
        """Settle what has ended, begin what is due; return how long to wait."""
        await self._settle()
        if is_draining:
            self.progress.busy(lag=len(self._runs))
            return self._poll_interval if self._runs else 0.0
        jobs = await self._claim()
        self._begin(jobs)
        if jobs or not self._free():
            self._empty_looks = 0
            self.progress.busy(lag=len(self._runs))
            return 0.0 if jobs and self._free() else self._poll_interval
        if self._runs:
            self.progress.busy(lag=len(self._runs))
        else:
            self.progress.idle()
        return await self._pause()

    async def _pause(self) -> float:
        """Return how long nothing will be due; a growing time when something is and stays so."""
        due_in = await self._repository.next_due_in(list(self._queues))
        if due_in is None or due_in >= self._poll_interval:
            return self._poll_interval
        if due_in > 0:
            self._empty_looks = 0
            return due_in + 0.0005
        self._empty_looks += 1  # others hold them, or nobody here can run them
        return min(self._poll_interval, _SHORTEST_PAUSE * 2.0 ** min(self._empty_looks, 20))

    async def _wait(self, pause: float, stopping: asyncio.Event) -> None:
        has_ended = stopping.is_set() and not (self._runs or self._unsettled)
        if pause <= 0 or has_ended:
            await asyncio.sleep(0)
            return
        waits = [self._woken.wait(), current_clock().sleep(pause)]
        if not stopping.is_set():
            waits.append(stopping.wait())
        await first_of(*waits)

    def _free(self) -> dict[str, int]:
        """Return how many more of each queue may be begun."""
        taken = [run.job.queue for run in self._runs.values()]
        free = {queue: limit - taken.count(queue) for queue, limit in self._queues.items()}
        return {queue: number for queue, number in free.items() if number > 0}

    async def _claim(self, limit: int | None = None) -> list[Job]:
        free = self._free()
        if limit is not None:
            free = {queue: min(number, limit) for queue, number in free.items()}
        types = self._handlers.job_types()
        if not free or not types:
            return []
        return list(
            await self._repository.claim(
                free, worker=self._worker, lease=self._lease, job_types=types
            )
        )

    def _begin(self, jobs: list[Job]) -> None:
        for job in jobs:
            if _is_missed(job):
                self._unsettled.append(skipped(job))
                self._woken.set()
                continue
            handler = self._handlers.handler_of(job.job_type)
            run = JobRun(job, handler, self._repository, self._backoff)
            self._runs[job.job_id, job.epoch] = run
            run.task.add_done_callback(lambda _: self._woken.set())

    async def _settle(self) -> None:
        """Write down what has become of the runs that ended."""
        ended = [(claim, run) for claim, run in self._runs.items() if run.task.done()]
        for claim, run in ended:
            del self._runs[claim]
            if (outcome := run.outcome) is not None:
                self._unsettled.append(outcome)
        if not self._unsettled:
            return
        batch, self._unsettled = self._unsettled, []
        try:
            lost = await self._repository.settle_all(batch)
        except BaseException:
            self._unsettled = [*batch, *self._unsettled]
            raise
        for job_id in lost:
            _log.warning("Job %s was taken over before it was settled", job_id)

    # -- keeping claims -------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Renew claims, stop what is cancelled or lost, free what dead workers held."""
        swept_at = float("-inf")
        while True:
            clock = current_clock()
            try:
                await self._renew()
                if clock.monotonic() - swept_at >= self._lease / 2:
                    swept_at = clock.monotonic()
                    if await self._repository.sweep(retry_in=self._backoff.delay(1)):
                        self.trigger()
            except Exception as error:  # noqa: BLE001 - the store may be back in a moment
                _log.warning("%s cannot renew its claims", self.name, exc_info=error)
            await clock.sleep(self._heartbeat)

    async def _renew(self) -> None:
        beats = [
            Heartbeat(
                job_id=run.job.job_id,
                epoch=run.job.epoch,
                progress=run.running.progress,
                progress_note=run.running.progress_note,
            )
            for run in self._runs.values()
        ]
        if not beats:
            return
        held = await self._repository.heartbeat(beats, lease=self._lease)
        for beat in beats:
            run = self._runs.get((beat.job_id, beat.epoch))
            if run is None or run.task.done():
                continue
            if beat.job_id not in held:
                # A handler that settles in its own transaction has ended the claim itself.
                if not run.running.is_settled:
                    run.stop(Stop.LOST)
            elif held[beat.job_id]:
                run.stop(Stop.CANCELLED)

    async def _leave(self, beating: "asyncio.Task[None]") -> None:
        """Stop what still runs and give it back, so that another worker need not wait."""
        for run in self._runs.values():
            run.stop(Stop.LEAVING)
        tasks = [run.task for run in self._runs.values()]
        await asyncio.wait([beating, *tasks], timeout=_LONGEST_LEAVE)
        try:
            await self._settle()
        except Exception:  # noqa: BLE001 - the lease ends by itself
            _log.warning("%s could not give its jobs back", self.name, exc_info=True)
        self._runs.clear()
        self._unsettled.clear()


def _is_missed(job: Job) -> bool:
    """Whether this occurrence is to be left out because its time has passed."""
    again = job.recurrence
    if again is None or again.catch_up is not CatchUp.NONE or job.attempts > 1:
        return False
    return (utc_now() - job.occurrence).total_seconds() > _MISSED_AFTER
