"""The worker that wakes sagas up: claims, leases, failures, people who step in, the end."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cqrs_ddd_advanced_core.sagas import (
    InMemorySagaRepository,
    ISagaRunner,
    SagaConfigurationError,
    SagaInstance,
    SagaKind,
    SagaOperations,
    SagaRecoveryWorker,
    SagaStatus,
)
from cqrs_ddd_core import use_clock
from cqrs_ddd_core.middleware import RetryPolicy
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_core.runtime import Worker
from cqrs_ddd_core.testing import ManualClock, until

AT_ONCE = RetryPolicy(base_delay=0.0)
_LEASE = 30.0


class Away(InMemorySagaRepository):
    """A store whose leases cannot be renewed for a while."""

    is_away = False

    async def renew(self, leases: Mapping[str, int], *, lease: float) -> Collection[str]:
        if self.is_away:
            raise OSError("no route to host")
        return await super().renew(leases, lease=lease)


@dataclass
class Trips:
    """Runs trips: each waits to be let go, then completes, or fails as often as it is told to."""

    repository: InMemorySagaRepository
    failures: list[Exception] = field(default_factory=list[Exception])
    began: list[SagaInstance] = field(default_factory=list[SagaInstance])
    cancelled: list[str] = field(default_factory=list[str])
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    saga_types: Collection[str] = ("trip",)

    async def resume(self, saga: SagaInstance) -> None:
        self.began.append(saga)
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(saga.saga_id)
            raise
        if self.failures:
            raise self.failures.pop(0)
        now = utc_now()
        ended = replace(saga, status=SagaStatus.COMPLETED, wake_at=None, updated_at=now)
        await self.repository.save(replace(ended, finished_at=now), release=True)


@dataclass
class Bench:
    """A worker, its sagas and what runs them."""

    clock: ManualClock
    repository: Away = field(default_factory=Away)

    def __post_init__(self) -> None:
        self.trips = Trips(self.repository)
        self.operations = SagaOperations(self.repository)

    async def begin(self, saga_id: str = "s-1", **values: Any) -> None:
        now = utc_now()
        saga = SagaInstance(
            saga_id=saga_id,
            saga_type="trip",
            kind=SagaKind.ORCHESTRATED,
            wake_at=now,
            created_at=now,
            updated_at=now,
        )
        await self.repository.add(replace(saga, **values))

    def worker(self, **options: Any) -> SagaRecoveryWorker:
        options = {"backoff": AT_ONCE, "lease": _LEASE, **options}
        return SagaRecoveryWorker(self.repository, [self.trips], **options)

    @asynccontextmanager
    async def at_work(self, **options: Any) -> AsyncGenerator[SagaRecoveryWorker]:
        part = self.worker(**options)
        async with Worker([part]):
            yield part

    async def saga(self, saga_id: str = "s-1") -> SagaInstance:
        return await self.operations.get_saga_state(saga_id)

    async def completes(self, saga_id: str = "s-1") -> SagaInstance:
        async def has() -> bool:
            return (await self.saga(saga_id)).status is SagaStatus.COMPLETED

        await until(has, timeout=30)
        return await self.saga(saga_id)

    async def tick(self, seconds: float) -> None:
        """Let the time pass, and whoever it wakes act."""
        await until(lambda: self.clock.alarms, timeout=30)
        self.clock.advance(seconds)
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with use_clock(clock):
        yield Bench(clock)


def test_a_runner_is_what_its_port_says(bench: Bench) -> None:
    assert isinstance(bench.trips, ISagaRunner)


def test_a_type_has_one_runner(bench: Bench) -> None:
    with pytest.raises(SagaConfigurationError) as caught:
        SagaRecoveryWorker(bench.repository, [bench.trips, Trips(bench.repository)])
    assert caught.value.saga_type == "trip"


async def test_a_due_saga_is_claimed_and_run(bench: Bench) -> None:
    await bench.begin()
    bench.trips.let_go.set()
    async with bench.at_work():
        saga = await bench.completes()
    assert (saga.epoch, saga.lease_until) == (1, None)


async def test_a_saga_that_nobody_here_knows_is_left_alone(bench: Bench) -> None:
    await bench.begin("other", saga_type="elsewhere")
    await bench.begin()
    bench.trips.let_go.set()
    assert await bench.worker().run_once() == 1
    assert (await bench.saga("other")).version == 1


async def test_a_saga_is_run_when_its_time_comes_and_not_before(bench: Bench) -> None:
    await bench.begin(wake_at=utc_now() + timedelta(seconds=5))
    bench.trips.let_go.set()
    stopping, due = asyncio.Event(), bench.clock.monotonic() + 5
    work = asyncio.create_task(bench.worker(poll_interval=60.0).run(stopping))
    await until(lambda: any(abs(each - due) < 0.1 for each in bench.clock.alarms), timeout=30)
    await bench.tick(4.9)
    assert bench.trips.began == []
    await bench.tick(0.2)
    await bench.completes()
    stopping.set()
    await asyncio.wait_for(work, 30)


async def test_so_many_are_run_at_once(bench: Bench) -> None:
    for number in range(5):
        await bench.begin(f"s-{number}")
    async with bench.at_work(max_concurrency=2):
        await until(lambda: len(bench.trips.began) == 2, timeout=30)
        await bench.tick(1.0)
        assert len(bench.trips.began) == 2
        bench.trips.let_go.set()
        for number in range(5):
            await bench.completes(f"s-{number}")


async def test_what_a_runner_raised_is_noted_and_tried_again_later(bench: Bench) -> None:
    await bench.begin()
    bench.trips.let_go.set()
    bench.trips.failures.append(OSError("no route to \0hotel"))
    late = RetryPolicy(base_delay=3600.0, max_delay=3600.0)
    assert await bench.worker(backoff=late).run_once() == 1
    saga = await bench.saga()
    assert (saga.error, saga.lease_until) == ("OSError: no route to ␀hotel", None)
    assert saga.wake_at is not None
    assert saga.wake_at > utc_now()
    bench.clock.advance(3600)
    assert await bench.worker().run_once() == 1
    assert (await bench.saga()).status is SagaStatus.COMPLETED


async def test_a_saga_that_ended_meanwhile_is_not_woken_again(bench: Bench) -> None:
    await bench.begin()
    work = asyncio.create_task(bench.worker().run_once())
    await until(lambda: bench.trips.began, timeout=30)
    now = utc_now()
    ended = replace(await bench.saga(), status=SagaStatus.COMPLETED, wake_at=None, finished_at=now)
    await bench.repository.save(ended)  # an event, in another process
    bench.trips.failures.append(OSError("no route to hotel"))
    bench.trips.let_go.set()
    assert await asyncio.wait_for(work, 30) == 1
    saga = await bench.saga()
    assert (saga.wake_at, saga.lease_until) == (None, None)


async def test_a_failure_does_not_bring_an_attempt_forward(bench: Bench) -> None:
    await bench.begin()
    work = asyncio.create_task(bench.worker().run_once())
    await until(lambda: bench.trips.began, timeout=30)
    later = utc_now() + timedelta(days=1)
    await bench.repository.save(replace(await bench.saga(), wake_at=later))
    bench.trips.failures.append(OSError("no route to hotel"))
    bench.trips.let_go.set()
    assert await asyncio.wait_for(work, 30) == 1
    assert (await bench.saga()).wake_at == later


async def test_a_runner_that_loses_every_race_does_not_keep_the_worker_spinning(
    bench: Bench,
) -> None:
    await bench.begin()
    bench.trips.let_go.set()
    lost = ConcurrencyError("Hotel 'h-1'", expected=1, actual=2)
    bench.trips.failures += [lost] * 50
    late = RetryPolicy(base_delay=3600.0, max_delay=3600.0)
    await asyncio.wait_for(bench.worker(backoff=late).run_once(), 30)
    assert len(bench.trips.began) <= 2
    saga = await bench.saga()
    assert saga.error is not None
    assert "h-1" in saga.error
    assert saga.wake_at is not None
    assert saga.wake_at > utc_now()


async def test_a_lease_is_renewed_while_its_saga_runs(bench: Bench) -> None:
    await bench.begin()
    async with bench.at_work():
        await until(lambda: bench.trips.began, timeout=30)
        for _ in range(10):
            await bench.tick(_LEASE / 3)
        assert await bench.repository.claim(["trip"], worker="other", lease=_LEASE) == []
        bench.trips.let_go.set()
        assert (await bench.completes()).epoch == 1


async def test_a_run_whose_lease_another_has_taken_is_cancelled(bench: Bench) -> None:
    await bench.begin()
    async with bench.at_work():
        await until(lambda: bench.trips.began, timeout=30)
        await bench.repository.release("s-1", 1)
        assert await bench.repository.claim(["trip"], worker="other", lease=3600)
        await bench.tick(_LEASE / 3)
        await until(lambda: bench.trips.cancelled == ["s-1"], timeout=30)
    assert (await bench.saga()).worker == "other"


async def test_a_run_ends_with_its_lease_when_the_store_is_away(bench: Bench) -> None:
    await bench.begin()
    async with bench.at_work():
        await until(lambda: bench.trips.began, timeout=30)
        bench.repository.is_away = True
        await bench.tick(_LEASE / 3)
        assert bench.trips.cancelled == []
        for _ in range(3):
            await bench.tick(_LEASE / 3)
        await until(lambda: bench.trips.cancelled, timeout=30)
        bench.repository.is_away = False
        bench.trips.let_go.set()
        assert (await bench.completes()).epoch == 2


async def test_a_person_wins_over_a_run_and_the_saga_goes_on_from_there(bench: Bench) -> None:
    await bench.begin()
    async with bench.at_work():
        await until(lambda: bench.trips.began, timeout=30)
        await bench.operations.compensate("s-1", "the guest is ill")
        bench.trips.let_go.set()  # what it saves now is refused
        await bench.completes()
    statuses = [each.status for each in bench.trips.began]
    assert statuses == [SagaStatus.RUNNING, SagaStatus.COMPENSATING]


async def test_stopping_waits_for_what_runs_and_begins_nothing_new(bench: Bench) -> None:
    await bench.begin()
    part, stopping = bench.worker(), asyncio.Event()
    work = asyncio.create_task(part.run(stopping))
    await until(lambda: bench.trips.began, timeout=30)
    stopping.set()
    await bench.begin("later")
    await bench.tick(1.0)
    assert not work.done()
    bench.trips.let_go.set()
    await asyncio.wait_for(work, 30)
    assert (await bench.saga()).status is SagaStatus.COMPLETED
    assert (await bench.saga("later")).version == 1


async def test_a_cancelled_worker_gives_its_sagas_back(bench: Bench) -> None:
    await bench.begin()
    work = asyncio.create_task(bench.worker().run(asyncio.Event()))
    await until(lambda: bench.trips.began, timeout=30)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    bench.trips.let_go.set()
    assert await bench.worker().run_once() == 1
    assert (await bench.completes()).epoch == 2
