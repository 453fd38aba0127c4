"""Timers and jobs whose effects can be counted, in a process that may kill itself.

Run as ``python job_shop.py URL kill POINT`` or ``python job_shop.py URL race``.
"""
# ruff: noqa: T201 - what it prints is what its test reads

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from cqrs_ddd_advanced_core.background_jobs import (
    BackgroundJobService,
    JobHandlers,
    JobStatistics,
    JobWorker,
    RunningJob,
)
from cqrs_ddd_advanced_core.scheduling import (
    CommandScheduler,
    CommandSchedulerService,
    CommandSchedulerWorker,
)
from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    HandlerRegistry,
    Mediator,
    get_current_uow,
    new_id,
    repository,
)
from cqrs_ddd_core.middleware import RetryPolicy
from cqrs_ddd_core.runtime import Worker
from cqrs_ddd_core.testing import until
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyBackgroundJobRepository,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
)

POINTS = ("claimed", "effect", "committed")
_PASSES = 4  # how often a process passes a point before it is killed there


class Effect(AggregateRoot[str]):
    what: str


class Act(Command[None]):
    what: str


class JobUnitOfWork(SQLAlchemyUnitOfWork):
    effects = repository(Effect, table="effects")


class JobShop:
    """The wiring. ``kill_at`` is a point at which the process kills itself."""

    def __init__(self, url: str, kill_at: str | None = None) -> None:
        self.engine = create_engine(url)
        session_factory = create_session_factory(self.engine)
        self.timers = SQLAlchemyBackgroundJobRepository(session_factory, table="timers")
        self.jobs = SQLAlchemyBackgroundJobRepository(session_factory)
        self.uow_factory = lambda: JobUnitOfWork(session_factory)
        registry = HandlerRegistry()
        registry.register_command_handler(Act, self.act)
        mediator = Mediator(registry, self.uow_factory)
        self.scheduler = CommandScheduler(self.timers)
        self.service = CommandSchedulerService(self.scheduler, mediator)
        self.job_service = BackgroundJobService(self.jobs)
        self.handlers = JobHandlers()
        self.handlers.register("act", self.act_as_job)
        self._kill_at, self._passes = kill_at, 0

    async def schedule(self, number: int) -> list[str]:
        """Ask for so many timers and jobs, each with one effect; return what to expect."""
        for each in range(number):
            await self.scheduler.schedule(
                Act(what=f"timer {each}"), after=timedelta(0), max_attempts=50
            )
            await self.job_service.schedule("act", f"job {each}", max_retries=50)
        return sorted(f"{kind} {each}" for kind in ("timer", "job") for each in range(number))

    async def act(self, command: Act) -> None:
        await self._effect(command.what)

    async def act_as_job(self, job: RunningJob) -> None:
        self.pass_point("claimed")
        async with self.uow_factory():
            await self._effect(job.payload)
            await job.complete()

    async def _effect(self, what: str) -> None:
        self.pass_point("claimed")
        uow: JobUnitOfWork = get_current_uow()
        await uow.effects.add(Effect(id=new_id(), what=what))
        if self._kill_at == "effect":
            await uow.flush()
            self.pass_point("effect")
        uow.on_commit(self._committed)

    async def _committed(self) -> None:
        self.pass_point("committed")

    def pass_point(self, point: str) -> None:
        if point == self._kill_at:
            self._passes += 1
            if self._passes == _PASSES:
                os.kill(os.getpid(), signal.SIGKILL)

    async def effects(self) -> list[str]:
        async with self.uow_factory() as uow:
            return sorted(effect.what for effect in await uow.effects.list_all())

    def worker(self) -> Worker:
        part = JobWorker(
            self.jobs,
            self.handlers,
            queues={"default": 3},
            poll_interval=0.1,
            lease=1.0,
            heartbeat=0.3,
            backoff=RetryPolicy(base_delay=0.05),
        )
        return Worker([CommandSchedulerWorker(self.service, 0.1, lease=1.0, heartbeat=0.3), part])

    async def is_done(self) -> bool:
        """Whether all are settled; a failed one never will be."""
        statistics: list[JobStatistics] = [
            await each.statistics() for each in (self.timers, self.jobs)
        ]
        assert not any(each.failed for each in statistics)
        return not any(each.pending + each.running for each in statistics)


@asynccontextmanager
async def opened(url: str, kill_at: str | None = None) -> AsyncGenerator[JobShop]:
    shop = JobShop(url, kill_at)
    await create_schema(shop.engine, JobUnitOfWork, shop.timers, shop.jobs)
    yield shop
    await shop.engine.dispose()


async def run_until_killed(url: str, point: str) -> None:
    async with opened(url, point) as shop, shop.worker():
        await asyncio.Event().wait()


async def race(url: str) -> None:
    """Run plain jobs beside other processes, and print the id of each."""
    async with opened(url) as shop:
        handlers = JobHandlers()

        async def tell(job: RunningJob) -> None:
            print(job.job_id, flush=True)

        handlers.register("race", tell)
        part = JobWorker(shop.jobs, handlers, queues={"default": 5}, poll_interval=0.05, lease=60.0)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        async with Worker([part]):
            await until(shop.is_done, timeout=200)  # another process may have the rest


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[1] == "kill":
        asyncio.run(run_until_killed(arguments[0], arguments[2]))
    else:
        asyncio.run(race(arguments[0]))
