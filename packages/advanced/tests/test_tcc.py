"""Try, confirm, cancel: all reservations become firm, or none."""

import asyncio
from typing import Any

import pytest

from cqrs_ddd_advanced_core.orchestration import OrchestrationRunner, StepCall
from cqrs_ddd_advanced_core.sagas import (
    SagaConfigurationError,
    SagaKind,
    SagaOperations,
    SagaRecoveryWorker,
    SagaStatus,
)
from cqrs_ddd_advanced_core.tcc import TCC, TCCPhase, TCCStep, phases_of
from cqrs_ddd_core import RetryPolicy, current_clock, use_clock
from cqrs_ddd_core.testing import ManualClock, until

from .orchestrating import (
    Killed,
    MortalRepository,
    Scripted,
    Trail,
    WatchedRepository,
    World,
    attempts,
    run_to_the_end,
)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def repository() -> WatchedRepository:
    return WatchedRepository()


def participant(
    world: World, name: str, tries: Any = (), settles: Any = (), **options: Any
) -> TCCStep[Trail]:
    scripted = Scripted(world, tries, settles)

    async def try_(_: Trail, call: StepCall) -> None:
        await scripted.act(Trail(), call)

    return TCCStep(name, try_=try_, confirm=scripted.confirm, cancel=scripted.cancel, **options)


def booking(*steps: TCCStep[Trail], **options: Any) -> TCC[Trail]:
    return TCC("book", Trail, steps, settlement_retry=attempts(1), **options)


async def phases(repository: WatchedRepository, tcc: TCC[Trail]) -> dict[str, str]:
    found = phases_of(tcc, await repository.history("s"))
    return {name: phase.value for name, phase in found.items()}


async def test_all_are_tried_then_all_are_confirmed(
    world: World, repository: WatchedRepository
) -> None:
    book = booking(participant(world, "flight"), participant(world, "hotel"))
    result = await OrchestrationRunner(repository, [book]).run(book, Trail(), saga_id="s")
    assert result.status is SagaStatus.COMPLETED
    saga = await repository.find("s")
    assert saga is not None
    assert saga.kind is SagaKind.TCC
    assert {action for action, _ in world.effects[:2]} == {"try"}
    assert {action for action, _ in world.effects[2:]} == {"confirm"}
    assert await phases(repository, book) == {"flight": "confirmed", "hotel": "confirmed"}


async def test_all_are_asked_at_once_unless_in_order(repository: WatchedRepository) -> None:
    both = asyncio.Barrier(2)

    async def meet(_: Trail, call: StepCall) -> None:
        await asyncio.wait_for(both.wait(), 30)

    async def settle(_: Trail, call: StepCall) -> None: ...

    book = TCC(
        "book", Trail, [TCCStep(n, try_=meet, confirm=settle, cancel=settle) for n in ("a", "b")]
    )
    result = await OrchestrationRunner(repository, [book]).run(book, Trail())
    assert result.status is SagaStatus.COMPLETED


async def test_who_comes_behind_a_refusal_is_not_asked_when_in_order(
    world: World, repository: WatchedRepository
) -> None:
    book = booking(
        participant(world, "flight"),
        participant(world, "hotel", ["refuse"]),
        participant(world, "car"),
        in_order=True,
    )
    await OrchestrationRunner(repository, [book]).run(book, Trail(), saga_id="s")
    assert world.effects == [("try", "flight"), ("cancel", "flight")]
    assert await phases(repository, book) == {
        "flight": "cancelled",
        "hotel": "failed",
        "car": "pending",
    }


async def test_what_may_have_been_reserved_is_cancelled(
    world: World, repository: WatchedRepository
) -> None:
    book = booking(participant(world, "flight", ["lose"]), participant(world, "hotel"))
    result = await OrchestrationRunner(repository, [book]).run(book, Trail(), saga_id="s")
    assert result.status is SagaStatus.COMPENSATED
    assert world.times("cancel", "flight") == 1
    assert await phases(repository, book) == {"flight": "cancelled", "hotel": "cancelled"}


async def test_who_reserves_after_another_refused_is_answered_with_cancel(
    world: World, repository: WatchedRepository
) -> None:
    async def late(_: Trail, call: StepCall) -> None:
        await until(lambda: _status(repository) is SagaStatus.COMPENSATING)
        world.apply(world.ask(call))

    scripted = Scripted(world)
    slow = TCCStep("slow", try_=late, confirm=scripted.confirm, cancel=scripted.cancel)
    book = booking(slow, participant(world, "hotel", ["refuse"]))
    await OrchestrationRunner(repository, [book]).run(book, Trail(), saga_id="s")
    assert world.effects == [("try", "slow"), ("cancel", "slow")]


def _status(repository: WatchedRepository) -> SagaStatus:
    return repository._sagas["s"].status  # pyright: ignore[reportPrivateUsage]


async def test_a_reservation_that_would_end_has_all_cancelled(
    world: World, repository: WatchedRepository
) -> None:
    async def wait(_: Trail, call: StepCall) -> None:
        world.apply(world.ask(call))
        await current_clock().sleep(500)

    scripted = Scripted(world)
    slow = TCCStep("slow", try_=wait, confirm=scripted.confirm, cancel=scripted.cancel)
    book = booking(participant(world, "flight", timeout=120), slow)
    runner = OrchestrationRunner(repository, [book], lease=600)
    with use_clock(ManualClock()) as clock:
        running = asyncio.create_task(runner.run(book, Trail(), saga_id="s"))
        await until(lambda: 500.0 in clock.alarms and ("try", "flight") in world.effects)
        await until(lambda: 120.0 in clock.alarms or running.done())
        clock.advance(121)
        result = await running
    assert result.status is SagaStatus.COMPENSATED
    assert {step for action, step in world.effects if action == "cancel"} == {"flight", "slow"}


async def test_reservations_that_ended_while_nobody_ran_the_saga_are_cancelled(
    world: World, repository: WatchedRepository
) -> None:
    """All have reserved, and the process died before it was decided to confirm."""
    book = booking(participant(world, "flight", timeout=120), participant(world, "hotel"))
    process: Any = MortalRepository(repository, dies_at=5)
    with use_clock(ManualClock()) as clock:
        with pytest.raises(Killed):
            await OrchestrationRunner(process, [book]).run(book, Trail(), saga_id="s")
        assert await phases(repository, book) == {"flight": "tried", "hotel": "tried"}
        clock.advance(121)
        await run_to_the_end(repository, book, clock)
    assert _status(repository) is SagaStatus.COMPENSATED
    assert not [step for action, step in world.effects if action == "confirm"]


async def test_once_decided_time_does_not_count(
    world: World, repository: WatchedRepository
) -> None:
    later = RetryPolicy(base_delay=1000, max_delay=1000)
    book = TCC(
        "book",
        Trail,
        [participant(world, "flight", settles=["refuse"] * 3, timeout=60)],
        settlement_retry=later,
    )
    runner = OrchestrationRunner(repository, [book], patience=0.0)
    worker = SagaRecoveryWorker(repository, [runner])
    with use_clock(ManualClock()) as clock:
        result = await runner.run(book, Trail(), saga_id="s")
        assert result.status is SagaStatus.RUNNING
        assert await phases(repository, book) == {"flight": TCCPhase.CONFIRMING}
        await SagaOperations(repository).compensate("s", "nobody can have it undone now")
        for _ in range(4):
            clock.advance(1001)
            await worker.run_once()
    assert _status(repository) is SagaStatus.COMPLETED
    assert world.times("confirm", "flight") == 4
    assert world.times("cancel", "flight") == 0


async def test_a_cancel_is_tried_until_it_works(
    world: World, repository: WatchedRepository
) -> None:
    book = booking(
        participant(world, "flight", settles=["refuse"] * 20),
        participant(world, "hotel", ["refuse"]),
    )
    result = await OrchestrationRunner(repository, [book]).run(book, Trail())
    assert result.status is SagaStatus.COMPENSATED
    assert world.times("cancel", "flight") == 21


def test_everything_that_is_wrong_is_told_at_once(world: World) -> None:
    with pytest.raises(SagaConfigurationError) as refused:
        TCC(
            "",
            Trail,
            [
                participant(world, "flight", timeout=0),
                participant(world, "flight", attempt_timeout=-1),
                TCCStep("hotel", try_=None, confirm=None, cancel=None),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            ],
        )
    told = " ".join(refused.value.problems)
    for part in (
        "Its name",
        "2 steps are called 'flight'",
        "timeout of 0 s",
        "attempt_timeout of -1 s",
        "try_ of 'hotel' is None",
        "cancel of 'hotel' is None",
    ):
        assert part in told
