"""The worker that runs jobs: limits, heartbeats, cancellation, time-outs, retries, the end."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from cqrs_ddd_advanced_core.background_jobs import (
    BackgroundJobService,
    InMemoryBackgroundJobRepository,
    InvalidJobError,
    Job,
    JobHandlers,
    JobStatus,
    JobWorker,
    RunningJob,
)
from cqrs_ddd_core import ConfigurationError, InMemoryUnitOfWork, get_correlation_id, use_clock
from cqrs_ddd_core.middleware import RetryPolicy
from cqrs_ddd_core.runtime import Worker
from cqrs_ddd_core.testing import ManualClock, until

from .shop import elsewhere

AT_ONCE = RetryPolicy(base_delay=0.0)


@dataclass
class Bench:
    """A worker, its jobs, and what its handlers were told and did."""

    clock: ManualClock
    repository: InMemoryBackgroundJobRepository = field(
        default_factory=InMemoryBackgroundJobRepository
    )
    handlers: JobHandlers = field(default_factory=JobHandlers)
    going_on: dict[str, RunningJob] = field(default_factory=dict[str, RunningJob])
    began: list[str] = field(default_factory=list[str])
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.jobs = BackgroundJobService(self.repository)
        self.handlers.register("waits", self.waits)

    async def waits(self, job: RunningJob) -> str:
        self.began.append(job.job_id)
        self.going_on[job.job_id] = job
        try:
            await self.let_go.wait()
        finally:
            del self.going_on[job.job_id]
        return "done"

    @asynccontextmanager
    async def at_work(self, **options: Any) -> AsyncGenerator[JobWorker]:
        part = JobWorker(self.repository, self.handlers, backoff=AT_ONCE, **options)
        self.jobs.on_scheduled(part.trigger)
        async with Worker([part]):
            yield part

    async def status(self, job_id: str) -> JobStatus:
        return (await self.jobs.get(job_id)).status

    async def becomes(self, job_id: str, status: JobStatus) -> Job:
        async def has() -> bool:
            return await self.status(job_id) is status

        await until(has, timeout=30)
        return await self.jobs.get(job_id)

    async def tick(self, seconds: float) -> None:
        """Let the time pass, and whoever it wakes act."""
        await until(lambda: self.clock.alarms, timeout=30)
        self.clock.advance(seconds)
        for _ in range(30):
            await asyncio.sleep(0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with use_clock(clock):
        yield Bench(clock)


async def test_a_job_is_run_and_its_result_kept(bench: Bench) -> None:
    bench.let_go.set()
    async with bench.at_work():
        job_id = await bench.jobs.schedule("waits")
        job = await bench.becomes(job_id, JobStatus.COMPLETED)
    assert (job.result, job.attempts) == ("done", 1)


async def test_jobs_of_a_queue_are_run_so_many_at_once(bench: Bench) -> None:
    for queue in ("slow", "default"):
        for _ in range(4):
            await bench.jobs.schedule("waits", queue=queue)
    async with bench.at_work(queues={"slow": 1, "default": 3}):
        await until(lambda: len(bench.going_on) == 4, timeout=30)
        await bench.tick(1)
        queues = sorted(job.job.queue for job in bench.going_on.values())
        assert queues == ["default", "default", "default", "slow"]
        bench.let_go.set()
        await until(lambda: len(bench.began) == 8, timeout=30)


async def test_the_highest_priority_goes_first(bench: Bench) -> None:
    low = await bench.jobs.schedule("waits", priority=-1)
    high = await bench.jobs.schedule("waits", priority=5)
    bench.let_go.set()
    async with bench.at_work(queues={"default": 1}):
        await bench.becomes(low, JobStatus.COMPLETED)
    assert bench.began == [high, low]


async def test_jobs_without_a_handler_are_left_to_others(bench: Bench) -> None:
    other = await bench.jobs.schedule("elsewhere")
    mine = await bench.jobs.schedule("waits")
    bench.let_go.set()
    async with bench.at_work():
        await bench.becomes(mine, JobStatus.COMPLETED)
        assert await bench.status(other) is JobStatus.PENDING


async def test_progress_is_stored_with_the_heartbeat(bench: Bench) -> None:
    async with bench.at_work():
        job_id = await bench.jobs.schedule("waits")
        await until(lambda: bench.going_on, timeout=30)
        bench.going_on[job_id].report(0.4, "2 of 5")
        await bench.tick(2)
        job = await bench.jobs.get(job_id)
        assert (job.progress, job.progress_note) == (0.4, "2 of 5")
        bench.let_go.set()


async def test_a_long_job_keeps_its_claim(bench: Bench) -> None:
    async with bench.at_work(lease=30, heartbeat=2):
        job_id = await bench.jobs.schedule("waits")
        await until(lambda: bench.going_on, timeout=30)
        for _ in range(40):
            await bench.tick(2)
        assert await bench.repository.sweep(retry_in=0) == []
        bench.let_go.set()
        await bench.becomes(job_id, JobStatus.COMPLETED)
    assert bench.began == [job_id]


async def test_a_cancellation_reaches_the_running_task(bench: Bench) -> None:
    async with bench.at_work():
        job_id = await bench.jobs.schedule("waits")
        await until(lambda: bench.going_on, timeout=30)
        await bench.jobs.cancel(job_id)
        await bench.tick(2)
        await bench.becomes(job_id, JobStatus.CANCELLED)
    assert bench.going_on == {}


async def test_a_run_that_takes_too_long_is_stopped_and_tried_again(bench: Bench) -> None:
    async with bench.at_work():
        job_id = await bench.jobs.schedule("waits", timeout_seconds=7, max_retries=1)
        for attempt in (1, 2):
            await until(lambda at=attempt: len(bench.began) == at, timeout=30)
            stops_at = bench.clock.monotonic() + 7
            await until(lambda at=stops_at: at in bench.clock.alarms, timeout=30)
            await bench.tick(7)
        job = await bench.becomes(job_id, JobStatus.FAILED)
    assert job.error is not None
    assert "JobTimeoutError" in job.error


async def test_a_failure_is_tried_again_after_its_delay(bench: Bench) -> None:
    attempts: list[int] = []

    async def fails_twice(job: RunningJob) -> None:
        attempts.append(job.job.attempts)
        if len(attempts) < 3:
            raise ValueError("not yet")

    bench.handlers.register("fails", fails_twice)
    async with bench.at_work():
        job_id = await bench.jobs.schedule("fails", max_retries=5)
        job = await bench.becomes(job_id, JobStatus.COMPLETED)
    assert (attempts, job.error) == ([1, 2, 3], "ValueError: not yet")


async def test_an_error_without_hope_is_not_tried_again(bench: Bench) -> None:
    @bench.handlers.handles("hopeless", give_up_on=(FileNotFoundError,))
    async def hopeless(job: RunningJob) -> None:
        raise FileNotFoundError("gone")

    async with bench.at_work():
        job_id = await bench.jobs.schedule("hopeless", max_retries=5)
        job = await bench.becomes(job_id, JobStatus.FAILED)
    assert job.attempts == 1


async def test_a_result_that_is_no_json_is_a_failure(bench: Bench) -> None:
    @bench.handlers.handles("odd")
    async def odd(job: RunningJob) -> object:
        return object()

    async with bench.at_work():
        job_id = await bench.jobs.schedule("odd", max_retries=0)
        job = await bench.becomes(job_id, JobStatus.FAILED)
    assert job.error is not None
    assert "serialize" in job.error


async def test_a_job_goes_on_in_the_conversation_that_asked_for_it(bench: Bench) -> None:
    heard: list[str | None] = []

    @bench.handlers.handles("listens")
    async def listens(job: RunningJob) -> None:
        heard.append(get_correlation_id())

    await bench.repository.add(
        Job(
            job_id="j-1",
            job_type="listens",
            correlation_id="request-7",
            created_at=bench.clock.now(),
            due_at=bench.clock.now(),
        )
    )
    async with bench.at_work():
        await bench.becomes("j-1", JobStatus.COMPLETED)
    assert heard == ["request-7"]


async def test_an_effect_may_commit_together_with_the_end_of_its_job(bench: Bench) -> None:
    @bench.handlers.handles("effect")
    async def effect(job: RunningJob) -> None:
        async with InMemoryUnitOfWork():
            await job.complete({"n": 1})
            held = await elsewhere(bench.status(job.job_id))
            assert held is JobStatus.RUNNING
        assert await bench.status(job.job_id) is JobStatus.COMPLETED

    async with bench.at_work():
        job_id = await bench.jobs.schedule("effect")
        job = await bench.becomes(job_id, JobStatus.COMPLETED)
    assert job.result == {"n": 1}


async def test_an_end_that_was_rolled_back_is_no_end(bench: Bench) -> None:
    @bench.handlers.handles("effect")
    async def effect(job: RunningJob) -> None:
        async with InMemoryUnitOfWork():
            await job.complete()
            raise ValueError("rolled back")

    async with bench.at_work():
        job_id = await bench.jobs.schedule("effect", max_retries=0)
        await bench.becomes(job_id, JobStatus.FAILED)


async def test_a_job_that_was_taken_over_is_stopped_and_not_settled_twice(bench: Bench) -> None:
    async with bench.at_work(lease=30, heartbeat=2):
        job_id = await bench.jobs.schedule("waits", max_retries=9)
        await until(lambda: bench.going_on, timeout=30)
        first = bench.going_on[job_id]
        bench.clock._now += (await bench.jobs.get(job_id)).lease_until - bench.clock.now()  # type: ignore[operator]
        await bench.repository.sweep(retry_in=3600)  # as another worker would
        await bench.tick(2)
        await until(lambda: not bench.going_on, timeout=30)
        job = await bench.jobs.get(job_id)
        assert (job.status, job.epoch) == (JobStatus.PENDING, first.job.epoch)


async def test_a_worker_that_stops_finishes_what_has_begun(bench: Bench) -> None:
    part = JobWorker(bench.repository, bench.handlers)
    worker = Worker([part])
    await worker.start()
    job_id = await bench.jobs.schedule("waits")
    part.trigger()
    await until(lambda: bench.going_on, timeout=30)
    stopping = asyncio.create_task(worker.stop())
    later = await bench.jobs.schedule("waits")
    part.trigger()
    await bench.tick(1)
    assert not stopping.done()
    bench.let_go.set()
    await stopping
    assert await bench.status(job_id) is JobStatus.COMPLETED
    assert await bench.status(later) is JobStatus.PENDING


async def test_a_worker_that_cannot_wait_gives_its_jobs_back(bench: Bench) -> None:
    worker = Worker([JobWorker(bench.repository, bench.handlers)], drain_timeout=5)
    job_id = await bench.jobs.schedule("waits", max_retries=0)
    await worker.start()
    await until(lambda: bench.going_on, timeout=30)
    stopping = asyncio.create_task(worker.stop())
    await bench.tick(0)
    await until(lambda: any(abs(alarm - 5) < 0.01 for alarm in bench.clock.alarms), timeout=30)
    await bench.tick(5)
    await stopping
    job = await bench.jobs.get(job_id)
    assert (job.status, job.attempts) == (JobStatus.PENDING, 0)


async def test_a_store_that_is_away_for_a_moment_stops_no_job(bench: Bench) -> None:
    claim, away = bench.repository.claim, [True]

    async def claim_or_fail(*args: Any, **options: Any) -> Any:
        if away and bench.going_on:
            raise OSError("no route to host")
        return await claim(*args, **options)

    bench.repository.claim = claim_or_fail  # type: ignore[method-assign]
    async with bench.at_work() as part:
        first = await bench.jobs.schedule("waits")
        await until(lambda: bench.going_on, timeout=30)
        second = await bench.jobs.schedule("waits")
        await until(lambda: part.progress.in_trouble, timeout=30)
        assert first in bench.going_on
        away.clear()
        await bench.tick(5)
        await until(lambda: second in bench.going_on, timeout=30)
        bench.let_go.set()
        await bench.becomes(second, JobStatus.COMPLETED)
        assert await bench.status(first) is JobStatus.COMPLETED


async def test_due_jobs_can_be_run_once_by_hand(bench: Bench) -> None:
    bench.let_go.set()
    for _ in range(5):
        await bench.jobs.schedule("waits")
    part = JobWorker(bench.repository, bench.handlers, queues={"default": 2})
    assert await part.run_due(limit=3) == 3
    assert await part.run_due() == 2
    assert await part.run_due() == 0


@pytest.mark.parametrize(
    "wrong", [{"queues": {}}, {"queues": {"a": 0}}, {"lease": 3.0}, {"heartbeat": 0.0}], ids=str
)
def test_a_worker_that_could_not_work_is_refused(bench: Bench, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        JobWorker(bench.repository, bench.handlers, **wrong)


def test_a_type_has_one_handler(bench: Bench) -> None:
    with pytest.raises(InvalidJobError, match="waits"):
        bench.handlers.register("waits", bench.waits)
