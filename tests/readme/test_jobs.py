"""Background jobs, called as it is documented."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from cqrs_ddd_advanced_core.background_jobs import (
    BackgroundJobAdminService,
    BackgroundJobService,
    JobStatus,
    JobSweeperWorker,
)
from cqrs_ddd_core.adapters.memory import InMemoryLockStrategy
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyBackgroundJobRepository,
    create_engine,
    create_schema,
    create_session_factory,
)


@pytest.fixture
async def job_service(sqlite_url: str) -> AsyncIterator[BackgroundJobService]:
    engine = create_engine(sqlite_url)
    repository = SQLAlchemyBackgroundJobRepository(create_session_factory(engine))
    await create_schema(engine, repository)
    yield BackgroundJobService(repository=repository, lock_strategy=InMemoryLockStrategy())
    await engine.dispose()


async def bind(book_id: str) -> None:
    if book_id == "torn":
        raise ValueError("pages are missing")


async def bind_books(job_service: BackgroundJobService) -> None:
    """A worker's loop by hand."""
    pending = await job_service.get_pending_jobs(limit=10)
    for job in pending:
        try:
            await job_service.mark_running(job.job_id)
            await bind(job.payload["book_id"])
            await job_service.mark_completed(job.job_id)
        except Exception as e:  # noqa: BLE001 - a loop of an application's own
            await job_service.mark_failed(job.job_id, error=str(e))


async def test_a_job_waits_for_its_time(job_service: BackgroundJobService) -> None:
    naive = (utc_now() + timedelta(hours=1)).replace(tzinfo=None)  # what utcnow() gives
    job_id = await job_service.schedule(
        job_type="BindBook",
        payload={"book_id": "b-1", "pages": 320},
        scheduled_at=naive,
        max_retries=5,
        timeout_seconds=300,
    )
    assert await job_service.get_pending_jobs(limit=10) == []
    job = await job_service.get(job_id)
    assert job.due_at.replace(tzinfo=None) == naive
    assert (job.payload, job.max_attempts, job.timeout) == (
        {"book_id": "b-1", "pages": 320},
        6,
        300,
    )


async def test_a_loop_by_hand_completes_jobs_and_fails_them(
    job_service: BackgroundJobService,
) -> None:
    good = await job_service.schedule(job_type="BindBook", payload={"book_id": "b-1"})
    bad = await job_service.schedule(
        job_type="BindBook", payload={"book_id": "torn"}, max_retries=0
    )
    again = await job_service.schedule(job_type="BindBook", payload={"book_id": "torn"})
    await bind_books(job_service)
    jobs = [await job_service.get(job_id) for job_id in (good, bad, again)]
    assert [job.status for job in jobs] == ["completed", "failed", "pending"]
    assert (jobs[1].error, jobs[2].due_at > utc_now()) == ("pages are missing", True)


async def test_an_administrator_retries_cancels_and_counts(
    job_service: BackgroundJobService,
) -> None:
    admin = BackgroundJobAdminService(job_service)
    failed = await job_service.schedule(
        job_type="BindBook", payload={"book_id": "torn"}, max_retries=0
    )
    await bind_books(job_service)
    waiting = await job_service.schedule(job_type="BindBook", payload={"book_id": "b-2"})
    stats = await admin.get_statistics()
    assert (stats.pending, stats.running, stats.failed) == (1, 0, 1)
    await admin.retry_job(failed)
    await admin.cancel_job(waiting)
    assert (await job_service.get(failed)).status is JobStatus.PENDING
    assert (await job_service.get(waiting)).status is JobStatus.CANCELLED


async def test_a_sweeper_is_made_of_the_service(job_service: BackgroundJobService) -> None:
    assert await JobSweeperWorker(job_service).run_once() == 0
