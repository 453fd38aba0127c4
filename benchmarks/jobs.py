"""Background jobs on PostgreSQL beside a hand-written SKIP LOCKED queue; timers' precision.

``python -m benchmarks.jobs`` measures how late timers go off while jobs are run beside them.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from importlib import import_module
from statistics import quantiles
from typing import Any

from benchmarks.harness import Pair, case
from cqrs_ddd_advanced_core.background_jobs import JobHandlers, JobStatus, JobWorker, RunningJob
from cqrs_ddd_advanced_core.scheduling import (
    CommandScheduler,
    CommandSchedulerService,
    CommandSchedulerWorker,
)
from cqrs_ddd_core import Command, HandlerRegistry, Mediator
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyBackgroundJobRepository,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
    drop_schema,
)

asyncpg: Any = import_module("asyncpg")  # it brings no types
_URL = os.environ.get("CQRS_TEST_POSTGRES_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/test")
_JOBS, _AT_ONCE, _TIMERS = 1000, 50, 300
_FILL = (
    "INSERT INTO bench_jobs (job_id, job_type, queue, status, rank, due_at, occurs_at, data, "
    "max_attempts, attempts, epoch, cancel_requested, created_at) SELECT 'j-' || n, 'nothing', "
    "'default', 'pending', 0, 0, 0, 'null', 5, 0, 0, false, 0 FROM generate_series(1, $1) n"
)
_BY_HAND = (
    "CREATE TABLE bench_queue (id text PRIMARY KEY, payload jsonb NOT NULL, status text NOT NULL, "
    "due_at timestamptz NOT NULL, locked_until timestamptz, attempts int NOT NULL, error text)"
)
_FILL_BY_HAND = (
    "INSERT INTO bench_queue SELECT 'j-' || n, '{}', 'pending', now(), null, 0, null "
    "FROM generate_series(1, $1) n"
)
_CLAIM = (
    "WITH picked AS (SELECT id FROM bench_queue WHERE status = 'pending' AND due_at <= now() "
    "ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED) UPDATE bench_queue q SET status = 'running', "
    "attempts = attempts + 1, locked_until = now() + interval '30 s' FROM picked "
    "WHERE q.id = picked.id RETURNING q.id, q.payload"
)
_DONE = "UPDATE bench_queue SET status = 'completed' WHERE id = ANY($1) AND status = 'running'"


async def _run_ours(repository: SQLAlchemyBackgroundJobRepository, workers: int) -> None:
    done, stopping, handlers = 0, asyncio.Event(), JobHandlers()

    async def nothing(_: RunningJob) -> None:
        nonlocal done
        done += 1
        if done == _JOBS:
            stopping.set()

    handlers.register("nothing", nothing)
    queues = {"default": _AT_ONCE}
    parts = [JobWorker(repository, handlers, queues=queues) for _ in range(workers)]
    await asyncio.gather(*(part.run(stopping) for part in parts))


async def _run_by_hand(pool: Any, workers: int) -> None:
    async def nothing(_: Any) -> None: ...

    async def work() -> None:
        while True:
            claimed = await pool.fetch(_CLAIM, _AT_ONCE)
            if not claimed:
                return
            async with asyncio.TaskGroup() as group:
                for job in claimed:
                    group.create_task(nothing(job))
            await pool.execute(_DONE, [job["id"] for job in claimed])

    await asyncio.gather(*(work() for _ in range(workers)))


def _jobs(workers: int) -> Callable[[], AsyncGenerator[Pair]]:
    async def jobs() -> AsyncGenerator[Pair]:
        engine = create_engine(_URL)
        factory = create_session_factory(engine)
        repository = SQLAlchemyBackgroundJobRepository(factory, table="bench_jobs")
        await drop_schema(engine, repository)
        await create_schema(engine, repository)
        pool = await asyncpg.create_pool(_URL.replace("+asyncpg", ""), min_size=4, max_size=8)
        await pool.execute(f"DROP TABLE IF EXISTS bench_queue; {_BY_HAND}")
        await pool.execute("CREATE INDEX ON bench_queue (status, due_at)")

        def filled(table: str, fill: str, run: Callable[[], Awaitable[None]]) -> Any:
            async def work() -> int:
                await pool.execute(f"TRUNCATE {table}")
                await pool.execute(fill, _JOBS)
                await run()
                left = f"SELECT count(*) FROM {table} WHERE status <> 'completed'"
                assert await pool.fetchval(left) == 0
                return _JOBS

            return work

        yield Pair(
            ours=filled("bench_jobs", _FILL, lambda: _run_ours(repository, workers)),
            twin=filled("bench_queue", _FILL_BY_HAND, lambda: _run_by_hand(pool, workers)),
        )
        await drop_schema(engine, repository)
        await pool.execute("DROP TABLE bench_queue")
        await pool.close()
        await engine.dispose()

    return jobs


case("jobs", "jobs.postgres.1_worker", unit="jobs/s", better="higher", rounds=5)(_jobs(1))
case("jobs", "jobs.postgres.4_workers", unit="jobs/s", better="higher", rounds=5)(_jobs(4))


class _Tick(Command[None]):
    """Goes off."""


async def _precision() -> None:
    """Print how late timers began while a worker runs jobs without a pause."""
    engine = create_engine(_URL)
    factory = create_session_factory(engine)
    timers = SQLAlchemyBackgroundJobRepository(factory, table="bench_timers")
    jobs = SQLAlchemyBackgroundJobRepository(factory, table="bench_jobs")
    await drop_schema(engine, timers, jobs)
    await create_schema(engine, timers, jobs)
    left, stopping, registry = _TIMERS, asyncio.Event(), HandlerRegistry()

    async def tick(_: _Tick) -> None:
        nonlocal left
        left -= 1
        if not left:
            stopping.set()

    async def load() -> None:
        pool = await asyncpg.create_pool(_URL.replace("+asyncpg", ""), min_size=1, max_size=2)
        while not stopping.is_set():
            await pool.execute("TRUNCATE bench_jobs")
            await pool.execute(_FILL, _JOBS)
            await _run_ours(jobs, 1)
        await pool.close()

    registry.register_command_handler(_Tick, tick)
    scheduler = CommandScheduler(timers)
    service = CommandSchedulerService(
        scheduler, Mediator(registry, lambda: SQLAlchemyUnitOfWork(factory))
    )
    for number in range(_TIMERS):
        await scheduler.schedule(_Tick(), after=timedelta(seconds=2 + number / 100))
    await asyncio.gather(CommandSchedulerWorker(service).run(stopping), load())
    late = [
        ((job.started_at or job.due_at) - job.due_at).total_seconds() * 1000
        for job in await timers.list_jobs([JobStatus.COMPLETED], limit=_TIMERS)
    ]
    cuts = quantiles(late, n=100)
    print(f"timers.late under load (ms): p50 {cuts[49]:.1f}, p99 {cuts[98]:.1f} of {len(late)}")
    await drop_schema(engine, timers, jobs)
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(_precision())
