"""Steps with another one that steps in, and the circuit that spares the first."""

import asyncio
from typing import Any

import pytest

from cqrs_ddd_advanced_core.orchestration import (
    Fallback,
    Orchestration,
    OrchestrationRunner,
    PivotStep,
    RetriableStep,
    Step,
    StepCall,
    StepFunctions,
)
from cqrs_ddd_advanced_core.sagas import SagaConfigurationError, SagaStatus
from cqrs_ddd_core import CircuitState, InMemoryCircuitBreaker, guarded, use_clock
from cqrs_ddd_core.testing import ManualClock, until

from .orchestrating import (
    Killed,
    MortalRepository,
    Refused,
    Scripted,
    Trail,
    WatchedRepository,
    World,
    attempts,
    run_to_the_end,
)

FALLBACK = "pay (fallback)"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def repository() -> WatchedRepository:
    return WatchedRepository()


def paying(
    world: World, acts: list[str], fallback: list[str] | None = None, **options: Any
) -> Fallback[Trail]:
    options.setdefault("failures", (Refused, TimeoutError))
    return Fallback(Scripted(world, acts), Scripted(world, fallback or []), **options)


async def test_the_fallback_gets_the_context_as_the_primary_got_it(
    repository: WatchedRepository,
) -> None:
    async def primary(context: Trail, call: StepCall) -> None:
        context.done.append("primary")
        raise Refused

    async def fallback(context: Trail, call: StepCall) -> None:
        context.done.append("fallback")

    pay = Fallback(StepFunctions(primary), StepFunctions(fallback), failures=(Refused,))
    trip = Orchestration("trip", Trail, [Step("pay", pay, compensates=False)])
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.require_completed().done == ["fallback"]


async def test_what_has_acted_is_compensated_and_nothing_else(
    world: World, repository: WatchedRepository
) -> None:
    trip = Orchestration(
        "trip",
        Trail,
        [
            Step("room", paying(world, [])),
            Step("pay", paying(world, ["refuse"])),
            Step("flight", Scripted(world, ["refuse"])),
        ],
    )
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.status is SagaStatus.COMPENSATED
    assert world.effects == [
        ("act", "room"),
        ("act", FALLBACK),
        ("compensate", FALLBACK),
        ("compensate", "room"),
    ]


async def test_a_primary_in_doubt_is_compensated_before_the_fallback_acts(
    world: World, repository: WatchedRepository
) -> None:
    trip = Orchestration("trip", Trail, [Step("pay", paying(world, ["time out"]))])
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.status is SagaStatus.COMPLETED
    assert world.effects == [("act", "pay"), ("compensate", "pay"), ("act", FALLBACK)]


async def test_a_pivot_in_doubt_does_not_fall_back(
    world: World, repository: WatchedRepository
) -> None:
    trip = Orchestration("trip", Trail, [PivotStep("pay", paying(world, ["time out", "lose"]))])
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.status is SagaStatus.COMPLETED
    assert world.effects == [("act", "pay")]


async def test_other_errors_fail_the_step(world: World, repository: WatchedRepository) -> None:
    pay = paying(world, ["refuse"], failures=(TimeoutError,))
    trip = Orchestration("trip", Trail, [Step("pay", pay)])
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.status is SagaStatus.COMPENSATED
    assert world.times("act", FALLBACK) == 0


async def test_the_primary_has_all_its_attempts_first(
    world: World, repository: WatchedRepository
) -> None:
    pay = paying(world, ["refuse", "refuse"], ["refuse"])
    trip = Orchestration("trip", Trail, [Step("pay", pay, retry=attempts(2))])
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.status is SagaStatus.COMPLETED
    assert (world.times("act", "pay"), world.times("act", FALLBACK)) == (2, 2)


@pytest.mark.parametrize("dies_at", range(1, 8))
@pytest.mark.parametrize("is_written", [True, False])
async def test_wherever_it_dies_one_of_them_has_its_effect(
    world: World, repository: WatchedRepository, dies_at: int, is_written: bool
) -> None:
    trip = Orchestration("trip", Trail, [Step("pay", paying(world, ["time out"]))])
    process: Any = MortalRepository(repository, dies_at, is_written=is_written)
    with use_clock(ManualClock()) as clock:
        try:
            await OrchestrationRunner(process, [trip]).run(trip, Trail(), saga_id="s")
        except Killed:
            await run_to_the_end(repository, trip, clock)
    saga = await repository.find("s")
    assert saga is not None
    assert saga.status is SagaStatus.COMPLETED
    left = [
        step
        for action, step in world.effects
        if action == "act" and ("compensate", step) not in world.effects
    ]
    assert len(left) == 1, "neither none nor both"
    assert all(len(keys) == 1 for keys in world.keys.values())


async def test_an_open_circuit_spares_the_primary(
    world: World, repository: WatchedRepository
) -> None:
    breaker = InMemoryCircuitBreaker(failure_threshold=2, recovery_time=60)
    pay = paying(world, ["refuse"] * 2, breaker=breaker, circuit="payments")
    trip = Orchestration("trip", Trail, [Step("pay", pay)])
    runner = OrchestrationRunner(repository, [trip])
    with use_clock(ManualClock()) as clock:
        for _ in range(4):
            assert (await runner.run(trip, Trail())).status is SagaStatus.COMPLETED
        assert (world.times("act", "pay"), world.times("act", FALLBACK)) == (2, 4)
        assert await breaker.state_of("payments") is CircuitState.OPEN
        clock.advance(60)
        await runner.run(trip, Trail())
        assert world.times("act", "pay") == 3
        assert await breaker.state_of("payments") is CircuitState.CLOSED


async def test_a_primary_that_hangs_opens_the_circuit(
    world: World, repository: WatchedRepository
) -> None:
    async def hang(_: Trail, call: StepCall) -> None:
        await asyncio.Event().wait()

    breaker = InMemoryCircuitBreaker(failure_threshold=1)
    pay = Fallback(
        StepFunctions(hang),
        Scripted(world),
        failures=(TimeoutError,),
        breaker=breaker,
        circuit="payments",
    )
    trip = Orchestration("trip", Trail, [Step("pay", pay, timeout=5, compensates=False)])
    with use_clock(ManualClock()) as clock:
        running = asyncio.create_task(OrchestrationRunner(repository, [trip]).run(trip, Trail()))
        await until(lambda: 5.0 in clock.alarms)
        clock.advance(5)
        assert (await running).status is SagaStatus.COMPLETED
        assert await breaker.state_of("payments") is CircuitState.OPEN


async def test_a_retriable_step_waits_for_a_circuit_of_its_own(
    world: World, repository: WatchedRepository
) -> None:
    breaker = InMemoryCircuitBreaker(failure_threshold=1, recovery_time=60)

    async def send(_: Trail, call: StepCall) -> None:
        async with guarded(breaker, "mail", failures=(ConnectionError,)):
            if call.attempt == 1:
                raise ConnectionError
            world.apply(world.ask(call))

    trip = Orchestration("trip", Trail, [RetriableStep("send", StepFunctions(send))])
    runner = OrchestrationRunner(repository, [trip], patience=0.0)
    with use_clock(ManualClock()) as clock:
        result = await runner.run(trip, Trail(), saga_id="s")
        while result.status is SagaStatus.RUNNING:
            clock.advance(40)
            for saga in await repository.claim(["trip"], worker="w", lease=30):
                await runner.resume(saga)
            result = await runner.result(trip, "s")
    assert result.status is SagaStatus.COMPLETED
    assert world.effects == [("act", "send")]


async def test_a_pivot_whose_circuit_opens_while_it_is_in_doubt_does_not_fall_back(
    world: World, repository: WatchedRepository
) -> None:
    breaker = InMemoryCircuitBreaker(failure_threshold=1, recovery_time=60)
    pay = paying(world, ["time out"], breaker=breaker, circuit="payments")
    trip = Orchestration("trip", Trail, [PivotStep("pay", pay)])
    runner = OrchestrationRunner(repository, [trip], patience=0.0)
    with use_clock(ManualClock()) as clock:
        result = await runner.run(trip, Trail(), saga_id="s")
        while result.status is SagaStatus.RUNNING:
            assert world.times("act", FALLBACK) == 0
            clock.advance(61)
            [saga] = await repository.claim(["trip"], worker="w", lease=30)
            await runner.resume(saga)
            result = await runner.result(trip, "s")
    assert result.status is SagaStatus.COMPLETED
    assert world.effects == [("act", "pay")]


def test_a_fallback_that_cannot_work_is_refused(world: World) -> None:
    with pytest.raises(SagaConfigurationError) as refused:
        Orchestration(
            "trip",
            Trail,
            [
                Step("room", paying(world, [], failures=())),
                Step("car", Fallback(Scripted(world), object(), failures=(Refused,))),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
                Step("pay", paying(world, [], circuit="payments")),
                RetriableStep("send", paying(world, [])),
            ],
        )
    told = " ".join(refused.value.problems)
    for part in ("for no failure", "no method act", "both a breaker", "would never act"):
        assert part in told
