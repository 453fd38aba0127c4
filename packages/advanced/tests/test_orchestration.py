"""Orchestrations: steps in order, streamed, tried again, undone, timed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from cqrs_ddd_advanced_core.orchestration import (
    ContextConflictError,
    InsideUnitOfWorkError,
    Orchestration,
    OrchestrationRunner,
    ParallelSteps,
    PivotStep,
    RetriableStep,
    SagaContextError,
    SagaFailedError,
    Step,
    StepCall,
    StepFunctions,
    StepTimeoutError,
)
from cqrs_ddd_advanced_core.sagas import (
    InMemorySagaRepository,
    ISagaRunner,
    SagaAction,
    SagaConfigurationError,
    SagaExistsError,
    SagaOutcome,
    SagaRecoveryWorker,
    SagaStatus,
)
from cqrs_ddd_core import (
    ConstructingHandlerFactory,
    IHandlerScope,
    InMemoryUnitOfWork,
    RetryPolicy,
    current_clock,
    get_correlation_id,
    use_clock,
    with_correlation_context,
)
from cqrs_ddd_core.cqrs.scope import unit_of_work_to_join
from cqrs_ddd_core.testing import ManualClock, until

from .orchestrating import Refused, Scripted, Trail, World, attempts, lines


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def repository() -> InMemorySagaRepository:
    return InMemorySagaRepository()


def step(world: World, name: str, *acts: str, **options: Any) -> Step[Trail]:
    return Step(name, Scripted(world, acts), **options)


# -- the way forward ----------------------------------------------------------------------------


async def test_each_step_is_streamed_when_it_is_done(
    world: World, repository: InMemorySagaRepository
) -> None:
    trip = Orchestration("trip", Trail, [step(world, "room"), step(world, "car")])
    runner = OrchestrationRunner(repository, [trip])
    seen = [
        (result.step, result.result, result.status, list(world.effects))
        async for result in runner.stream(trip, Trail(), saga_id="s")
    ]
    assert seen == [
        ("room", "room done", SagaStatus.RUNNING, [("act", "room")]),
        ("car", "car done", SagaStatus.COMPLETED, [("act", "room"), ("act", "car")]),
    ]
    ended = await runner.result(trip, "s")
    assert ended.require_completed() == Trail(done=["room", "car"])
    assert lines(await repository.history("s")) == [
        "act room started",
        "act room completed",
        "act car started",
        "act car completed",
    ]


async def test_who_stops_asking_leaves_the_saga_to_a_recovery_worker(
    world: World, repository: InMemorySagaRepository
) -> None:
    trip = Orchestration("trip", Trail, [step(world, "room"), step(world, "car")])
    runner = OrchestrationRunner(repository, [trip])
    async with aclosing(runner.stream(trip, Trail(), saga_id="s")) as results:
        await anext(results)
    assert world.times("act", "car") == 0
    assert await SagaRecoveryWorker(repository, [runner]).run_once() == 1
    assert (await runner.result(trip, "s")).status is SagaStatus.COMPLETED
    assert world.asked == [("act", "room"), ("act", "car")]


async def test_a_saga_starts_with_the_unit_of_work_or_not_at_all(
    world: World, repository: InMemorySagaRepository
) -> None:
    trip = Orchestration("trip", Trail, [step(world, "room")])
    runner = OrchestrationRunner(repository, [trip])
    woken: list[str] = []
    runner.started.add(lambda: woken.append("now"))
    worker = SagaRecoveryWorker(repository, [runner])
    async with InMemoryUnitOfWork() as uow:
        await runner.start(trip, Trail(), saga_id="gone")
        await uow.rollback()
    assert (await repository.find("gone"), woken) == (None, [])
    async with InMemoryUnitOfWork():
        await runner.start(trip, Trail(), saga_id="s")
        assert woken == []
    assert woken == ["now"]
    assert world.asked == []
    assert await worker.run_once() == 1
    assert (await runner.result(trip, "s")).status is SagaStatus.COMPLETED


async def test_a_saga_is_not_run_inside_a_unit_of_work(
    world: World, repository: InMemorySagaRepository
) -> None:
    trip = Orchestration("trip", Trail, [step(world, "room")])
    async with InMemoryUnitOfWork():
        with pytest.raises(InsideUnitOfWorkError, match="start"):
            await OrchestrationRunner(repository, [trip]).run(trip, Trail())


async def test_a_key_makes_a_saga_the_only_one(
    world: World, repository: InMemorySagaRepository
) -> None:
    trip = Orchestration("trip", Trail, [step(world, "room")])
    runner = OrchestrationRunner(repository, [trip])
    await runner.run(trip, Trail(), key="order-1")
    with pytest.raises(SagaExistsError):
        await runner.run(trip, Trail(), key="order-1")
    assert world.times("act", "room") == 1


async def test_the_start_is_durable_while_a_step_acts_and_no_unit_of_work_is_open(
    repository: InMemorySagaRepository,
) -> None:
    seen: list[Any] = []

    async def act(_: Trail, call: StepCall) -> None:
        seen.append(lines(await repository.history(call.saga_id)))
        seen.append(unit_of_work_to_join())
        seen.append(get_correlation_id())

    trip = Orchestration("trip", Trail, [Step("room", StepFunctions(act), compensates=False)])
    with with_correlation_context("request-1"):
        await OrchestrationRunner(repository, [trip]).run(trip, Trail(), saga_id="s")
    assert seen == [["act room started"], None, "request-1"]


async def test_a_class_is_made_anew_for_each_attempt_and_may_have_two_names(
    repository: InMemorySagaRepository,
) -> None:
    made: list[Any] = []

    class Charge:
        def __init__(self) -> None:
            made.append(self)

        async def act(self, context: Trail, call: StepCall) -> None:
            if call.step == "half" and call.attempt == 1:
                raise TimeoutError
            context.done = [*context.done, call.step]

        async def compensate(self, context: Trail, call: StepCall) -> None: ...

    trip = Orchestration(
        "trip", Trail, [Step("half", Charge), Step("rest", Charge)], retry=attempts(2)
    )
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.require_completed().done == ["half", "rest"]
    assert len(made) == 3


async def test_a_failed_attempt_leaves_no_trace_in_the_context(
    repository: InMemorySagaRepository,
) -> None:
    async def act(context: Trail, call: StepCall) -> None:
        context.done.append(f"attempt {call.attempt}")
        if call.attempt < 3:
            raise Refused

    trip = Orchestration(
        "trip",
        Trail,
        [Step("room", StepFunctions(act), compensates=False)],
        retry=attempts(3),
    )
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.require_completed().done == ["attempt 3"]


async def test_a_frozen_context_is_replaced_by_what_a_step_returns(
    repository: InMemorySagaRepository,
) -> None:
    class Frozen(BaseModel, frozen=True):
        room: int = 0

    async def act(context: Frozen, call: StepCall) -> Frozen:
        return context.model_copy(update={"room": 12})

    trip = Orchestration("trip", Frozen, [Step("room", StepFunctions(act), compensates=False)])
    result = await OrchestrationRunner(repository, [trip]).run(trip, Frozen())
    assert result.require_completed() == Frozen(room=12)


async def test_what_cannot_be_stored_is_refused_before_anything_begins(
    world: World, repository: InMemorySagaRepository
) -> None:
    @dataclass
    class Open:
        what: object

    trip = Orchestration("trip", Open, [Step("room", Scripted(world))])  # type: ignore[list-item]
    with pytest.raises(SagaContextError):
        await OrchestrationRunner(repository, [trip]).run(trip, Open(lambda: None))
    assert world.asked == []


# -- failures -----------------------------------------------------------------------------------


async def test_what_was_done_is_undone_the_last_first(
    world: World, repository: InMemorySagaRepository
) -> None:
    trip = Orchestration(
        "trip",
        Trail,
        [step(world, "room"), step(world, "car"), step(world, "flight", "refuse")],
    )
    runner = OrchestrationRunner(repository, [trip])
    seen = [
        (each.action.value, each.step, each.outcome.value, each.status.value)
        async for each in runner.stream(trip, Trail(), saga_id="s")
    ]
    assert seen == [
        ("act", "room", "completed", "running"),
        ("act", "car", "completed", "running"),
        ("act", "flight", "failed", "compensating"),
        ("compensate", "car", "completed", "compensating"),
        ("compensate", "room", "completed", "compensated"),
    ]
    ended = await runner.result(trip, "s")
    assert ended.error == "Refused: flight"
    with pytest.raises(SagaFailedError, match="compensated: Refused: flight"):
        ended.require_completed()


async def test_a_saga_with_nothing_to_undo_says_so_at_once(
    world: World, repository: InMemorySagaRepository
) -> None:
    trip = Orchestration("trip", Trail, [step(world, "room", "refuse")])
    runner = OrchestrationRunner(repository, [trip])
    seen = [each.status async for each in runner.stream(trip, Trail())]
    assert seen == [SagaStatus.COMPENSATED]


async def test_a_step_in_doubt_is_compensated_though_it_failed(
    world: World, repository: InMemorySagaRepository
) -> None:
    trip = Orchestration("trip", Trail, [step(world, "room", "time out")])
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.status is SagaStatus.COMPENSATED
    assert world.effects == [("act", "room"), ("compensate", "room")]


async def test_a_refusal_is_not_tried_again(
    world: World, repository: InMemorySagaRepository
) -> None:
    trip = Orchestration(
        "trip",
        Trail,
        [step(world, "room", "refuse", retry=attempts(5), give_up_on=(Refused,))],
    )
    await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert world.times("act", "room") == 1


async def test_a_compensation_that_fails_is_visible_and_the_others_are_run(
    world: World, repository: InMemorySagaRepository
) -> None:
    car = Scripted(world, compensations=["refuse", "refuse"])
    trip = Orchestration(
        "trip",
        Trail,
        [step(world, "room"), Step("car", car), step(world, "flight", "refuse")],
        compensation_retry=attempts(2),
    )
    runner = OrchestrationRunner(repository, [trip])
    result = await runner.run(trip, Trail(), saga_id="s")
    assert result.status is SagaStatus.COMPENSATION_FAILED
    assert (
        result.error == "Not undone: car (Refused: car). It turned back because of: Refused: flight"
    )
    assert world.times("compensate", "car") == 2
    assert world.times("compensate", "room") == 1


async def test_a_compensation_that_fails_may_stop_the_others(
    world: World, repository: InMemorySagaRepository
) -> None:
    car = Scripted(world, compensations=["refuse"])
    trip = Orchestration(
        "trip",
        Trail,
        [step(world, "room"), Step("car", car), step(world, "flight", "refuse")],
        compensation_retry=attempts(1),
        stops_at_failed_compensation=True,
    )
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.status is SagaStatus.COMPENSATION_FAILED
    assert world.times("compensate", "room") == 0


async def test_a_pivot_in_doubt_is_tried_until_it_is_certain(
    world: World, repository: InMemorySagaRepository
) -> None:
    pivot = PivotStep("pay", Scripted(world, ["time out", "lose", "time out"]))
    trip = Orchestration("trip", Trail, [step(world, "room"), pivot], retry=attempts(1))
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.status is SagaStatus.COMPLETED
    assert world.times("act", "pay") == 4
    assert world.times("compensate", "room") == 0


async def test_a_pivot_that_is_refused_turns_the_saga_back(
    world: World, repository: InMemorySagaRepository
) -> None:
    pivot = PivotStep("pay", Scripted(world, ["refuse"]))
    trip = Orchestration("trip", Trail, [step(world, "room"), pivot])
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.status is SagaStatus.COMPENSATED
    assert world.times("compensate", "room") == 1


async def test_behind_the_pivot_a_step_is_tried_until_it_is_done(
    world: World, repository: InMemorySagaRepository
) -> None:
    send = RetriableStep("send", Scripted(world, ["refuse"] * 7), retry=attempts(1))
    trip = Orchestration("trip", Trail, [PivotStep("pay", Scripted(world)), send])
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.status is SagaStatus.COMPLETED
    assert world.times("act", "send") == 8


async def test_an_attempt_that_comes_late_is_left_to_a_recovery_worker(
    world: World, repository: InMemorySagaRepository
) -> None:
    slow = RetryPolicy(max_attempts=2, base_delay=600, max_delay=600)
    trip = Orchestration("trip", Trail, [step(world, "room", "refuse", retry=slow)])
    runner = OrchestrationRunner(repository, [trip], patience=0.0)
    worker = SagaRecoveryWorker(repository, [runner])
    with use_clock(ManualClock()) as clock:
        result = await runner.run(trip, Trail(), saga_id="s")
        assert (result.status, result.error) == (SagaStatus.RUNNING, "Refused: room")
        assert result.wake_at is not None
        assert result.wake_at > clock.now()
        assert await worker.run_once() == 0
        clock.advance(601)
        assert await worker.run_once() == 1
        assert (await runner.result(trip, "s")).status is SagaStatus.COMPLETED


async def test_a_step_that_takes_too_long_is_stopped_and_in_doubt(
    world: World, repository: InMemorySagaRepository
) -> None:
    async def hang(_: Trail, call: StepCall) -> None:
        world.apply(world.ask(call))
        await asyncio.Event().wait()

    undo = Scripted(world).compensate
    trip = Orchestration("trip", Trail, [Step("room", StepFunctions(hang, undo), timeout=5)])
    runner = OrchestrationRunner(repository, [trip])
    with use_clock(ManualClock()) as clock:
        running = asyncio.create_task(runner.run(trip, Trail()))
        await until(lambda: 5.0 in clock.alarms)
        clock.advance(5)
        result = await running
    assert result.status is SagaStatus.COMPENSATED
    assert result.error is not None
    assert result.error.startswith(StepTimeoutError.__name__)
    assert world.effects == [("act", "room"), ("compensate", "room")]


async def test_a_saga_that_is_too_late_to_decide_turns_back(
    world: World, repository: InMemorySagaRepository
) -> None:
    async def dawdle(_: Trail, call: StepCall) -> None:
        world.apply(world.ask(call))
        await current_clock().sleep(100)

    undo = Scripted(world).compensate
    trip = Orchestration(
        "trip",
        Trail,
        [step(world, "room"), Step("car", StepFunctions(dawdle, undo)), step(world, "flight")],
        deadline=60,
    )
    runner = OrchestrationRunner(repository, [trip], lease=900)
    with use_clock(ManualClock()) as clock:
        running = asyncio.create_task(runner.run(trip, Trail()))
        await until(lambda: 100.0 in clock.alarms)
        clock.advance(60)
        result = await running
    assert result.status is SagaStatus.COMPENSATED
    assert (result.error or "").startswith("SagaDeadlineError")
    assert world.times("act", "flight") == 0
    assert world.effects[-2:] == [("compensate", "car"), ("compensate", "room")]


async def test_the_deadline_does_not_count_once_the_pivot_has_begun(
    world: World, repository: InMemorySagaRepository
) -> None:
    async def dawdle(_: Trail, call: StepCall) -> None:
        world.apply(world.ask(call))
        await current_clock().sleep(100)

    trip = Orchestration(
        "trip",
        Trail,
        [PivotStep("pay", StepFunctions(dawdle)), RetriableStep("send", Scripted(world))],
        deadline=60,
    )
    runner = OrchestrationRunner(repository, [trip], lease=900)
    with use_clock(ManualClock()) as clock:
        running = asyncio.create_task(runner.run(trip, Trail()))
        await until(lambda: 100.0 in clock.alarms)
        clock.advance(100)
        assert (await running).status is SagaStatus.COMPLETED


# -- side by side -------------------------------------------------------------------------------


@dataclass
class Boxes:
    left: str = ""
    right: str = ""


async def test_steps_side_by_side_run_at_once_and_their_changes_are_put_together(
    repository: InMemorySagaRepository,
) -> None:
    both = asyncio.Barrier(2)

    async def left(boxes: Boxes, call: StepCall) -> None:
        await asyncio.wait_for(both.wait(), 30)
        boxes.left = "full"

    async def right(boxes: Boxes, call: StepCall) -> None:
        await asyncio.wait_for(both.wait(), 30)
        boxes.right = "full"

    pack = Orchestration(
        "pack",
        Boxes,
        [
            ParallelSteps(
                Step("left", StepFunctions(left), compensates=False),
                Step("right", StepFunctions(right), compensates=False),
            )
        ],
    )
    result = await OrchestrationRunner(repository, [pack]).run(pack, Boxes())
    assert result.require_completed() == Boxes("full", "full")


async def test_two_steps_side_by_side_may_not_change_one_field(
    world: World, repository: InMemorySagaRepository
) -> None:
    trip = Orchestration("trip", Trail, [ParallelSteps(step(world, "room"), step(world, "car"))])
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.status is SagaStatus.COMPENSATED
    assert (result.error or "").startswith(ContextConflictError.__name__)
    assert {step for action, step in world.effects if action == "compensate"} == {"room", "car"}


async def test_a_step_beside_one_that_fails_ends_and_is_undone(
    world: World, repository: InMemorySagaRepository
) -> None:
    failed = asyncio.Event()

    async def slow(_: Trail, call: StepCall) -> None:
        await asyncio.wait_for(failed.wait(), 30)
        await until(lambda: _status(repository) is SagaStatus.COMPENSATING)
        world.apply(world.ask(call))

    async def fail(_: Trail, call: StepCall) -> None:
        failed.set()
        raise Refused

    undo = Scripted(world).compensate
    trip = Orchestration(
        "trip",
        Trail,
        [
            ParallelSteps(
                Step("slow", StepFunctions(slow, undo)), Step("fail", StepFunctions(fail, undo))
            )
        ],
    )
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail(), saga_id="s")
    assert result.status is SagaStatus.COMPENSATED
    assert world.effects == [("act", "slow"), ("compensate", "slow")]


def _status(repository: InMemorySagaRepository) -> SagaStatus:
    return repository._sagas["s"].status  # pyright: ignore[reportPrivateUsage]


# -- effects in the database of the saga --------------------------------------------------------


async def test_a_step_may_commit_its_end_with_its_effect(
    repository: InMemorySagaRepository,
) -> None:
    seen: list[Any] = []

    async def act(context: Trail, call: StepCall) -> None:
        context.note = "12"
        async with InMemoryUnitOfWork():
            await call.complete(context)
            seen.append(lines(await repository.history(call.saga_id)))
        seen.append((await repository.history(call.saga_id))[-1].outcome)
        raise Refused  # comes too late to change anything

    trip = Orchestration("trip", Trail, [Step("room", StepFunctions(act), compensates=False)])
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail())
    assert result.require_completed().note == "12"
    assert seen == [["act room started", "act room completed"], SagaOutcome.COMPLETED]


async def test_a_step_whose_unit_of_work_fails_is_not_done(
    repository: InMemorySagaRepository,
) -> None:
    async def act(context: Trail, call: StepCall) -> None:
        async with InMemoryUnitOfWork():
            await call.complete(context)
            raise Refused

    trip = Orchestration("trip", Trail, [Step("room", StepFunctions(act), compensates=False)])
    result = await OrchestrationRunner(repository, [trip]).run(trip, Trail(), saga_id="s")
    assert result.status is SagaStatus.COMPENSATED
    assert lines(await repository.history("s")) == ["act room started", "act room failed"]


async def test_a_step_whose_dependencies_cannot_be_ended_is_done_all_the_same(
    world: World, repository: InMemorySagaRepository
) -> None:
    class Factory(ConstructingHandlerFactory):
        @asynccontextmanager
        async def open_scope(self) -> AsyncGenerator[IHandlerScope]:
            yield self
            raise Refused

    trip = Orchestration("trip", Trail, [step(world, "room")])
    runner = OrchestrationRunner(repository, [trip], handler_factory=Factory())
    assert isinstance(runner, ISagaRunner)
    assert (await runner.run(trip, Trail())).status is SagaStatus.COMPLETED


# -- definitions --------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once(world: World) -> None:
    class OnlyActs:
        async def act(self, context: Trail, call: StepCall) -> None: ...

    with pytest.raises(SagaConfigurationError) as refused:
        Orchestration(
            "trip",
            int,
            [
                step(world, "room"),
                step(world, "room"),
                Step("bare", OnlyActs()),
                PivotStep("pay", Scripted(world)),
                step(world, "late"),
                PivotStep("again", Scripted(world)),
                Step("none", object(), timeout=0),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            ],  # type: ignore[list-item]
            version=0,
            deadline=-1,
        )
    told = " ".join(refused.value.problems)
    for part in (
        "2 steps are called 'room'",
        "cannot undo 'bare'",
        "'late' stands behind 'pay'",
        "'again' would decide again",
        "no method act",
        "timeout of 0 s",
        "no fields that can be stored",
        "version is 0",
        "deadline of -1 s",
    ):
        assert part in told


def test_an_orchestration_needs_steps_and_a_group_two(world: World) -> None:
    with pytest.raises(SagaConfigurationError, match="no steps"):
        Orchestration("trip", Trail, [])
    with pytest.raises(SagaConfigurationError, match="nothing to do side by side"):
        Orchestration("trip", Trail, [ParallelSteps(step(world, "room"))])
    with pytest.raises(SagaConfigurationError, match="pivot cannot be done side by side"):
        Orchestration(
            "trip",
            Trail,
            [ParallelSteps(PivotStep("pay", Scripted(world)), PivotStep("b", Scripted(world)))],
        )


def test_a_runner_refuses_a_definition_twice_and_one_it_does_not_know(world: World) -> None:
    trip = Orchestration("trip", Trail, [step(world, "room")])
    again = Orchestration("trip", Trail, [step(world, "room")])
    with pytest.raises(SagaConfigurationError, match="version"):
        OrchestrationRunner(InMemorySagaRepository(), [trip, again])
    runner = OrchestrationRunner(InMemorySagaRepository(), [trip])
    with pytest.raises(SagaConfigurationError, match="does not know"):
        asyncio.run(runner.run(again, Trail()))


async def test_the_action_is_told_apart_by_its_key(
    world: World, repository: InMemorySagaRepository
) -> None:
    trip = Orchestration(
        "trip",
        Trail,
        [step(world, "room", "time out", retry=attempts(2)), step(world, "car", "refuse")],
    )
    await OrchestrationRunner(repository, [trip]).run(trip, Trail(), saga_id="s")
    keys = {
        entry.message_id
        for entry in await repository.history("s")
        if entry.step == "room" and entry.outcome is SagaOutcome.STARTED
    }
    assert len(keys) == 2, "one for both attempts to act, one to compensate"
    assert {len(each) for each in world.keys.values()} == {1}
    assert SagaAction.ACT.value in {action for action, _ in world.keys}
