"""The worker that wakes sagas up, and what people do with them by hand."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cqrs_ddd_advanced_core.sagas import (
    IllegalSagaTransitionError,
    InMemorySagaRepository,
    ISagaRunner,
    SagaConfigurationError,
    SagaInstance,
    SagaKind,
    SagaNotFoundError,
    SagaOperations,
    SagaRecoveryWorker,
    SagaStatus,
)
from cqrs_ddd_core import RetryPolicy, use_clock, utc_now
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_core.runtime import Worker
from cqrs_ddd_core.testing import ManualClock, until

LEASE = 30.0


class Runner:
    """Does what a test says, then saves the saga as done."""

    def __init__(self, sagas: InMemorySagaRepository) -> None:
        self.sagas, self.saga_types = sagas, ["trip"]
        self.began: list[str] = []
        self.cancelled: list[str] = []
        self.failures: list[Exception] = []
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def resume(self, saga: SagaInstance) -> None:
        self.began.append(saga.saga_id)
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(saga.saga_id)
            raise
        if self.failures:
            raise self.failures.pop(0)
        done = replace(saga, status=SagaStatus.COMPLETED, wake_at=None, updated_at=utc_now())
        await self.sagas.save(done, release=True)


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    clock = ManualClock()
    with use_clock(clock):
        yield clock


@pytest.fixture
def sagas() -> InMemorySagaRepository:
    return InMemorySagaRepository()


@pytest.fixture
def runner(sagas: InMemorySagaRepository) -> Runner:
    return Runner(sagas)


@pytest.fixture
def worker(sagas: InMemorySagaRepository, runner: Runner) -> SagaRecoveryWorker:
    backoff = RetryPolicy(base_delay=10.0, max_delay=10.0)
    return SagaRecoveryWorker(sagas, [runner], lease=LEASE, poll_interval=3600.0, backoff=backoff)


def trip(saga_id: str, *, wakes_in: float | None = 0.0, **values: Any) -> SagaInstance:
    now = utc_now()
    wake_at = None if wakes_in is None else now + timedelta(seconds=wakes_in)
    defaults: dict[str, Any] = {"saga_type": "trip", "kind": SagaKind.TCC, "wake_at": wake_at}
    return SagaInstance(saga_id=saga_id, created_at=now, updated_at=now, **{**defaults, **values})


async def found(sagas: InMemorySagaRepository, saga_id: str) -> SagaInstance:
    saga = await sagas.find(saga_id)
    assert saga is not None
    return saga


async def ticks(clock: ManualClock, seconds: float, until_so: Callable[[], bool]) -> None:
    """Let the time pass, a few times over, until what is to come of it has come."""
    for _ in range(10):
        await until(lambda: clock.alarms, timeout=30)
        clock.advance(seconds)
        for _ in range(50):
            await asyncio.sleep(0)
            if until_so():
                return
    raise AssertionError("nothing came of it")


async def test_it_runs_what_is_due_and_leaves_the_rest_alone(
    sagas: InMemorySagaRepository, runner: Runner, worker: SagaRecoveryWorker, clock: ManualClock
) -> None:
    for saga in (
        trip("due"),
        trip("asleep", wakes_in=None),
        trip("later", wakes_in=5.0),
        trip("unknown", saga_type="other"),
    ):
        await sagas.add(saga)
    assert await worker.run_once() == 1
    clock.advance(5.0)
    assert await worker.run_once() == 1
    assert runner.began == ["due", "later"]
    assert isinstance(runner, ISagaRunner)


async def test_it_wakes_up_when_the_next_saga_is_due_or_when_it_is_told(
    sagas: InMemorySagaRepository, runner: Runner, worker: SagaRecoveryWorker, clock: ManualClock
) -> None:
    await sagas.add(trip("later", wakes_in=5.0))
    async with Worker([worker]):
        await ticks(clock, 5.0, lambda: runner.began == ["later"])
        await sagas.add(trip("now"))
        worker.trigger()
        await until(lambda: runner.began == ["later", "now"], timeout=30)


async def test_no_more_run_at_once_than_are_allowed(
    sagas: InMemorySagaRepository, runner: Runner, clock: ManualClock
) -> None:
    worker = SagaRecoveryWorker(sagas, [runner], max_concurrency=2)
    for number in range(5):
        await sagas.add(trip(f"s-{number}"))
    runner.let_go.clear()
    async with Worker([worker]):
        await until(lambda: len(runner.began) == 2, timeout=30)
        held = [saga for saga in await sagas.search() if saga.lease_until is not None]
        assert len(held) == 2
        runner.let_go.set()
        await until(lambda: len(runner.began) == 5, timeout=30)


async def test_a_long_run_keeps_its_lease(
    sagas: InMemorySagaRepository, runner: Runner, worker: SagaRecoveryWorker, clock: ManualClock
) -> None:
    await sagas.add(trip("long"))
    runner.let_go.clear()
    async with Worker([worker]):
        await until(lambda: runner.began, timeout=30)
        for _ in range(6):
            await until(lambda: clock.alarms, timeout=30)
            clock.advance(LEASE / 3)
            await until(lambda: is_held_for(sagas, "long", LEASE), timeout=30)
            assert await sagas.claim(["trip"], worker="other", lease=1.0) == []
        runner.let_go.set()


async def is_held_for(sagas: InMemorySagaRepository, saga_id: str, seconds: float) -> bool:
    return (await found(sagas, saga_id)).lease_until == utc_now() + timedelta(seconds=seconds)


async def test_a_run_that_lost_its_lease_is_stopped(
    sagas: InMemorySagaRepository, runner: Runner, worker: SagaRecoveryWorker, clock: ManualClock
) -> None:
    await sagas.add(trip("stolen"))
    runner.let_go.clear()
    async with Worker([worker]):
        await until(lambda: runner.began, timeout=30)
        await until(lambda: clock.alarms, timeout=30)
        held = await found(sagas, "stolen")
        await sagas.release("stolen", held.epoch)
        (taken,) = await sagas.claim(["trip"], worker="other", lease=3600.0)
        await ticks(clock, LEASE / 3, lambda: runner.cancelled == ["stolen"])
        assert (await found(sagas, "stolen")).epoch == taken.epoch


async def test_a_runner_that_fails_is_tried_again_later_with_the_error_noted(
    sagas: InMemorySagaRepository, runner: Runner, worker: SagaRecoveryWorker, clock: ManualClock
) -> None:
    await sagas.add(trip("s-1"))
    runner.failures = [ValueError("no bank"), ValueError("no bank")]
    assert await worker.run_once() == 1
    saga = await found(sagas, "s-1")
    assert (saga.error, saga.lease_until) == ("ValueError: no bank", None)
    assert saga.wake_at is not None
    assert utc_now() < saga.wake_at <= utc_now() + timedelta(seconds=10)
    assert await worker.run_once() == 0
    clock.advance(10.0)
    assert await worker.run_once() == 1
    clock.advance(10.0)
    assert await worker.run_once() == 1
    assert (await found(sagas, "s-1")).status is SagaStatus.COMPLETED


async def test_a_saga_that_somebody_else_moved_is_given_up_quietly(
    sagas: InMemorySagaRepository,
    runner: Runner,
    worker: SagaRecoveryWorker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await sagas.add(trip("s-1"))
    runner.failures = [ConcurrencyError("s-1", expected=1, actual=2)]
    assert await worker.run_once() == 2  # given up, so that it could be taken again at once
    assert (await found(sagas, "s-1")).error is None
    assert [each for each in caplog.records if each.levelname == "WARNING"] == []


async def test_told_to_stop_it_lets_its_sagas_end(
    sagas: InMemorySagaRepository, runner: Runner, worker: SagaRecoveryWorker
) -> None:
    await sagas.add(trip("s-1"))
    runner.let_go.clear()
    stopping = asyncio.Event()
    running = asyncio.create_task(worker.run(stopping))
    await until(lambda: runner.began, timeout=30)
    stopping.set()
    await sagas.add(trip("s-2"))
    worker.trigger()
    await asyncio.sleep(0)
    assert not running.done()
    runner.let_go.set()
    await asyncio.wait_for(running, 30)
    assert (runner.began, runner.cancelled) == (["s-1"], [])


async def test_cancelled_it_gives_its_sagas_back(
    sagas: InMemorySagaRepository, runner: Runner, worker: SagaRecoveryWorker
) -> None:
    await sagas.add(trip("s-1"))
    runner.let_go.clear()
    running = asyncio.create_task(worker.run(asyncio.Event()))
    await until(lambda: runner.began, timeout=30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert runner.cancelled == ["s-1"]
    (again,) = await sagas.claim(["trip"], worker="other", lease=1.0)
    assert again.status is SagaStatus.RUNNING


def test_two_runners_of_one_type_are_refused(sagas: InMemorySagaRepository, runner: Runner) -> None:
    with pytest.raises(SagaConfigurationError, match="Two runners"):
        SagaRecoveryWorker(sagas, [runner, Runner(sagas)])


class TestByHand:
    @pytest.fixture
    def operations(self, sagas: InMemorySagaRepository) -> SagaOperations:
        return SagaOperations(sagas, operator="ada")

    @pytest.mark.parametrize(
        ("move", "before", "after"),
        [
            ("retry", SagaStatus.FAILED, SagaStatus.RUNNING),
            ("retry", SagaStatus.RUNNING, SagaStatus.RUNNING),
            ("retry", SagaStatus.COMPENSATING, SagaStatus.COMPENSATING),
            ("retry", SagaStatus.COMPENSATION_FAILED, SagaStatus.COMPENSATING),
            ("compensate", SagaStatus.RUNNING, SagaStatus.COMPENSATING),
            ("compensate", SagaStatus.SUSPENDED, SagaStatus.COMPENSATING),
            ("compensate", SagaStatus.FAILED, SagaStatus.COMPENSATING),
            ("resume", SagaStatus.SUSPENDED, SagaStatus.RUNNING),
        ],
    )
    @pytest.mark.usefixtures("clock")
    async def test_a_move_is_noted_and_wakes_the_saga(
        self,
        sagas: InMemorySagaRepository,
        move: str,
        before: SagaStatus,
        after: SagaStatus,
    ) -> None:
        operations = SagaOperations(sagas, operator="ada")
        await sagas.add(trip("s-1", wakes_in=None, status=before, attempts=7))
        moved = await getattr(operations, move)("s-1", "they asked")
        assert (moved.status, moved.attempts, moved.wake_at) == (after, 0, utc_now())
        assert await operations.get_saga_state("s-1") == moved
        (entry,) = await operations.history("s-1")
        assert (entry.number, entry.step) == (1, f"{before} -> {after}")
        assert entry.error == "ada: they asked"

    async def test_nothing_turns_round_or_begins_again(
        self, sagas: InMemorySagaRepository, operations: SagaOperations
    ) -> None:
        possible: dict[str, set[SagaStatus]] = {
            "retry": {
                SagaStatus.RUNNING,
                SagaStatus.FAILED,
                SagaStatus.COMPENSATING,
                SagaStatus.COMPENSATION_FAILED,
            },
            "compensate": {SagaStatus.RUNNING, SagaStatus.SUSPENDED, SagaStatus.FAILED},
            "resume": {SagaStatus.SUSPENDED},
        }
        for move, statuses in possible.items():
            for status in set(SagaStatus) - statuses:
                await sagas.add(trip(f"{move} {status}", status=status))
                with pytest.raises(IllegalSagaTransitionError) as refused:
                    await getattr(operations, move)(f"{move} {status}")
                assert set(refused.value.allowed) == {str(each) for each in statuses}
                assert await operations.history(f"{move} {status}") == []

    async def test_what_is_not_there_cannot_be_moved(self, operations: SagaOperations) -> None:
        for work in (operations.retry, operations.history, operations.get_saga_state):
            with pytest.raises(SagaNotFoundError):
                await work("s-0")

    async def test_who_runs_the_saga_in_that_moment_gives_it_up(
        self,
        sagas: InMemorySagaRepository,
        operations: SagaOperations,
        runner: Runner,
        worker: SagaRecoveryWorker,
    ) -> None:
        await sagas.add(trip("s-1"))
        runner.let_go.clear()
        async with Worker([worker]):
            await until(lambda: runner.began, timeout=30)
            await operations.compensate("s-1")
            assert await sagas.claim(["trip"], worker="other", lease=1.0) == []
            runner.let_go.set()
            await until(lambda: runner.began == ["s-1", "s-1"], timeout=30)
