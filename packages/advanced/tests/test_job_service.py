"""The calls of the job service and of its administration."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cqrs_ddd_advanced_core.background_jobs import (
    BackgroundJobAdminService,
    BackgroundJobService,
    IllegalJobTransitionError,
    InMemoryBackgroundJobRepository,
    InvalidJobError,
    JobLeaseLostError,
    JobNotFoundError,
    JobStatus,
    JobSweeperWorker,
)
from cqrs_ddd_core import InMemoryDatabase, InMemoryUnitOfWork, use_clock
from cqrs_ddd_core.testing import ManualClock


@pytest.fixture(autouse=True)
def clock() -> Iterator[ManualClock]:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with use_clock(clock):
        yield clock


@pytest.fixture
def repository() -> InMemoryBackgroundJobRepository:
    return InMemoryBackgroundJobRepository()


@pytest.fixture
def jobs(repository: InMemoryBackgroundJobRepository) -> BackgroundJobService:
    return BackgroundJobService(repository=repository, lock_strategy=None)


@pytest.fixture
def admin(jobs: BackgroundJobService) -> BackgroundJobAdminService:
    return BackgroundJobAdminService(jobs)


async def work_off(jobs: BackgroundJobService, error: str | None = None) -> int:
    """The loop that the published documentation shows."""
    pending = await jobs.get_pending_jobs(limit=10)
    for job in pending:
        try:
            await jobs.mark_running(job.job_id)
            if error is not None:
                raise ValueError(error)  # noqa: TRY301 - as the published loop has it
            await jobs.mark_completed(job.job_id)
        except ValueError as failure:
            await jobs.mark_failed(job.job_id, error=str(failure))
    return len(pending)


async def test_a_job_is_done_once_by_the_loop(
    jobs: BackgroundJobService, clock: ManualClock
) -> None:
    job_id = await jobs.schedule(
        job_type="ProcessLargeFile",
        payload={"file_id": "file-123", "size": 1_024_000, "price": Decimal("1.10")},
        scheduled_at=clock.now().replace(tzinfo=None) + timedelta(hours=1),
        max_retries=5,
        timeout_seconds=300,
    )
    assert await work_off(jobs) == 0
    clock.advance(3600)
    assert await work_off(jobs) == 1
    assert await work_off(jobs) == 0
    job = await jobs.get(job_id)
    assert job.payload == {"file_id": "file-123", "size": 1_024_000, "price": "1.10"}
    assert (job.status, job.max_attempts, job.timeout) == (JobStatus.COMPLETED, 6, 300)


async def test_a_failed_job_is_tried_again_and_given_up(
    jobs: BackgroundJobService, admin: BackgroundJobAdminService, clock: ManualClock
) -> None:
    job_id = await jobs.schedule("t", max_retries=2)
    for _ in range(3):
        assert await work_off(jobs, error="no luck") == 1
        clock.advance(600)
    assert await work_off(jobs) == 0
    job = await jobs.get(job_id)
    assert (job.status, job.attempts, job.error) == (JobStatus.FAILED, 3, "no luck")
    await admin.retry_job(job_id)
    assert await work_off(jobs) == 1
    assert (await jobs.get(job_id)).status is JobStatus.COMPLETED


async def test_two_loops_never_get_one_job(
    repository: InMemoryBackgroundJobRepository, clock: ManualClock
) -> None:
    first, second = BackgroundJobService(repository), BackgroundJobService(repository)
    job_id = await first.schedule("t")
    assert len(await first.get_pending_jobs()) == 1
    assert await second.get_pending_jobs() == []
    clock.advance(61)  # the first one is dead, or very slow
    assert len(await second.get_pending_jobs()) == 1
    with pytest.raises(JobLeaseLostError):
        await first.mark_running(job_id)
    await second.mark_running(job_id)
    with pytest.raises(JobLeaseLostError):
        await first.mark_failed(job_id, error="not mine")
    await second.mark_completed(job_id)


async def test_a_loop_that_was_too_slow_settles_nothing(
    jobs: BackgroundJobService, clock: ManualClock
) -> None:
    job_id = await jobs.schedule("t", timeout_seconds=10)
    await jobs.mark_running(job_id)
    clock.advance(9)
    assert not await jobs.update_progress(job_id, 0.5, "half way")
    clock.advance(9)
    assert await jobs.process_stale_jobs() == 0
    clock.advance(9)
    assert await jobs.process_stale_jobs() == 1
    with pytest.raises(JobLeaseLostError):
        await jobs.mark_completed(job_id)
    job = await jobs.get(job_id)
    assert (job.status, job.progress_note) == (JobStatus.PENDING, "half way")


async def test_a_loop_hears_that_its_job_is_cancelled(jobs: BackgroundJobService) -> None:
    job_id = await jobs.schedule("t")
    await jobs.mark_running(job_id)
    assert await jobs.cancel(job_id) is JobStatus.RUNNING
    assert await jobs.update_progress(job_id, 0.5)
    await jobs.mark_cancelled(job_id)
    assert (await jobs.get(job_id)).status is JobStatus.CANCELLED


async def test_a_unique_job_is_there_once_until_it_has_finished(jobs: BackgroundJobService) -> None:
    first = await jobs.schedule("t", key="k")
    assert await jobs.schedule("t", key="k") == first
    await work_off(jobs)
    assert await jobs.schedule("t", key="k") != first


async def test_a_unique_job_may_be_asked_for_twice_in_one_unit_of_work(
    jobs: BackgroundJobService,
) -> None:
    async with InMemoryUnitOfWork(InMemoryDatabase()):
        first = await jobs.schedule("t", key="k")
        assert await jobs.schedule("t", key="k") == first


@pytest.mark.parametrize("status", JobStatus)
async def test_transitions_that_make_no_sense_are_refused(
    status: JobStatus, jobs: BackgroundJobService, admin: BackgroundJobAdminService
) -> None:
    job_id = await jobs.schedule("t", max_retries=0)
    if status is JobStatus.CANCELLED:
        await admin.cancel_job(job_id)
    elif status is not JobStatus.PENDING:
        await jobs.mark_running(job_id)
    if status is JobStatus.COMPLETED:
        await jobs.mark_completed(job_id)
    if status is JobStatus.FAILED:
        await jobs.mark_failed(job_id, error="E")
    assert (await admin.get_job(job_id)).status is status
    steps: dict[str, tuple[Any, set[JobStatus]]] = {
        "run": (lambda: jobs.mark_running(job_id), {JobStatus.PENDING}),
        "complete": (lambda: jobs.mark_completed(job_id), {JobStatus.RUNNING}),
        "fail": (lambda: jobs.mark_failed(job_id, "E"), {JobStatus.RUNNING}),
        "retry": (lambda: admin.retry_job(job_id), {JobStatus.FAILED, JobStatus.CANCELLED}),
        "cancel": (lambda: admin.cancel_job(job_id), {JobStatus.PENDING, JobStatus.RUNNING}),
    }
    for step, allowed in steps.values():
        if status not in allowed:
            with pytest.raises(IllegalJobTransitionError) as caught:
                await step()
            assert caught.value.status is status
            assert set(caught.value.allowed) == allowed
    assert (await admin.get_job(job_id)).status is status


async def test_a_job_that_never_was_is_not_found(admin: BackgroundJobAdminService) -> None:
    for call in (admin.get_job, admin.retry_job, admin.cancel_job):
        with pytest.raises(JobNotFoundError, match="j-1"):
            await call("j-1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"job_type": ""},
        {"job_type": "t" * 256},
        {"key": ""},
        {"queue": "q" * 256},
        {"max_retries": -1},
        {"timeout_seconds": 0},
        {"payload": object()},
    ],
    ids=str,
)
async def test_a_job_that_could_never_be_run_is_refused(
    jobs: BackgroundJobService, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidJobError):
        await jobs.schedule(wrong.pop("job_type", "t"), **wrong)


async def test_several_jobs_are_changed_each_on_its_own(
    jobs: BackgroundJobService, admin: BackgroundJobAdminService
) -> None:
    first, second = await jobs.schedule("t"), await jobs.schedule("t")
    await jobs.mark_running(second)
    await jobs.mark_completed(second)
    cancelled = await admin.bulk_cancel([first, second, "j-0"])
    assert cancelled.done == [first]
    assert cancelled.skipped.keys() == {second, "j-0"}
    assert (await admin.bulk_retry([first, second])).done == [first]
    statistics = await admin.get_statistics()
    assert (statistics.pending, statistics.completed) == (1, 1)
    assert [job.job_id for job in await admin.list_jobs([JobStatus.PENDING])] == [first]


async def test_the_sweeper_frees_the_dead_and_forgets_the_old(
    jobs: BackgroundJobService, clock: ManualClock
) -> None:
    old, stale = await jobs.schedule("t"), await jobs.schedule("t", max_retries=0)
    await jobs.mark_running(old)
    await jobs.mark_completed(old)
    clock.advance(3600)
    await jobs.mark_running(stale)
    clock.advance(901)
    sweeper = JobSweeperWorker(jobs, keep_finished=timedelta(hours=1))
    assert await sweeper.run_once() == 1
    assert (await jobs.get(stale)).status is JobStatus.FAILED
    with pytest.raises(JobNotFoundError):
        await jobs.get(old)
