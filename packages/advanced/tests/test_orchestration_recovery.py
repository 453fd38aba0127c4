"""Orchestrations whose process dies, loses its lease, or comes back with other steps."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from pydantic import BaseModel

from cqrs_ddd_advanced_core.orchestration import (
    Orchestration,
    OrchestrationRunner,
    PivotStep,
    RetriableStep,
    Step,
    StepCall,
    StepFunctions,
)
from cqrs_ddd_advanced_core.sagas import (
    SagaInstance,
    SagaLeaseLostError,
    SagaOperations,
    SagaRecoveryWorker,
    SagaStatus,
)
from cqrs_ddd_core import RetryPolicy, use_clock
from cqrs_ddd_core.testing import ManualClock, until

from .orchestrating import (
    LEASE,
    Killed,
    MortalRepository,
    Refused,
    Scripted,
    Trail,
    WatchedRepository,
    World,
    attempts,
    lines,
    resume_due,
    run_to_the_end,
)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def repository() -> WatchedRepository:
    return WatchedRepository()


async def begin_and_die(
    repository: WatchedRepository, definition: Orchestration[Trail], **death: Any
) -> None:
    process: Any = MortalRepository(repository, **death)
    with pytest.raises(Killed):
        await OrchestrationRunner(process, [definition]).run(definition, Trail(), saga_id="s")


async def stored(repository: WatchedRepository) -> SagaInstance:
    saga = await repository.find("s")
    assert saga is not None
    return saga


# -- killed -------------------------------------------------------------------------------------


async def test_killed_during_the_first_compensation_it_never_goes_forward_again(
    world: World, repository: WatchedRepository
) -> None:
    room = Scripted(world, compensations=["die late"])
    trip = Orchestration(
        "trip", Trail, [Step("room", room), Step("pay", Scripted(world, ["refuse"]))]
    )
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, trip)
        assert (await stored(repository)).status is SagaStatus.COMPENSATING
        await run_to_the_end(repository, trip, clock)
    assert (await stored(repository)).status is SagaStatus.COMPENSATED
    assert world.times("act", "pay") == 1
    assert len(world.keys["compensate", "room"]) == 1
    assert repository.problems == []


async def test_a_saga_that_was_added_and_never_begun_is_run(
    world: World, repository: WatchedRepository
) -> None:
    trip = Orchestration("trip", Trail, [Step("room", Scripted(world))])
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, trip, dies_at=0, is_written=True)
        assert world.asked == []
        await run_to_the_end(repository, trip, clock)
    assert (await stored(repository)).status is SagaStatus.COMPLETED


async def test_a_step_in_doubt_gets_the_same_key_and_is_told_of_the_doubt(
    world: World, repository: WatchedRepository
) -> None:
    calls: list[StepCall] = []
    room = Scripted(world)
    room.on_call.append(calls.append)
    trip = Orchestration("trip", Trail, [Step("room", room)])
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, trip, dies_at=2)  # had its effect, not written down
        await run_to_the_end(repository, trip, clock)
    assert [(call.attempt, call.in_doubt) for call in calls] == [(1, False), (2, True)]
    assert calls[0].idempotency_key == calls[1].idempotency_key
    assert world.effects == [("act", "room")]


async def test_a_step_that_can_verify_is_not_repeated(
    world: World, repository: WatchedRepository
) -> None:
    room = Scripted(world)

    async def verify(context: Trail, call: StepCall) -> bool:
        context.note = "found"
        return ("act", call.step) in world.effects

    trip = Orchestration(
        "trip", Trail, [Step("room", StepFunctions(room.act, room.compensate, verify))]
    )
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, trip, dies_at=2)
        await run_to_the_end(repository, trip, clock)
    result = await OrchestrationRunner(repository, [trip]).result(trip, "s")
    assert result.require_completed().note == "found"
    assert world.times("act", "room") == 1


async def test_verify_that_finds_nothing_has_the_step_done(
    world: World, repository: WatchedRepository
) -> None:
    room = Scripted(world, ["die"])

    async def verify(context: Trail, call: StepCall) -> bool:
        context.note = "looked"
        return False

    trip = Orchestration(
        "trip", Trail, [Step("room", StepFunctions(room.act, room.compensate, verify))]
    )
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, trip)
        clock.advance(LEASE + 1)
        await run_to_the_end(repository, trip, clock)
    result = await OrchestrationRunner(repository, [trip]).result(trip, "s")
    assert result.require_completed() == Trail(done=["room"])
    assert world.times("act", "room") == 2


async def test_a_step_that_kills_its_process_is_given_up_in_the_end(
    world: World, repository: WatchedRepository
) -> None:
    poison = Scripted(world, ["die"] * 20)
    trip = Orchestration("trip", Trail, [Step("room", Scripted(world)), Step("car", poison)])
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, trip)
        await run_to_the_end(repository, trip, clock, max_interruptions=3)
    saga = await stored(repository)
    assert saga.status is SagaStatus.COMPENSATED
    assert (saga.error or "").startswith("StepInterruptedError")
    assert world.times("act", "car") == 4
    assert world.effects[-1] == ("compensate", "room")


async def test_a_pivot_that_kills_its_process_is_left_to_a_person(
    world: World, repository: WatchedRepository
) -> None:
    poison = Scripted(world, ["die"] * 4)
    trip = Orchestration("trip", Trail, [Step("room", Scripted(world)), PivotStep("pay", poison)])
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, trip)
        await run_to_the_end(repository, trip, clock, max_interruptions=3)
        assert (await stored(repository)).status is SagaStatus.FAILED
        assert world.times("compensate", "room") == 0
        await SagaOperations(repository).retry("s")
        await run_to_the_end(repository, trip, clock)
    assert (await stored(repository)).status is SagaStatus.COMPLETED


# -- two at once --------------------------------------------------------------------------------


async def test_of_two_workers_one_runs_the_saga(
    world: World, repository: WatchedRepository
) -> None:
    trip = Orchestration("trip", Trail, [Step(name, Scripted(world)) for name in "abc"])
    runners = [OrchestrationRunner(repository, [trip]) for _ in range(2)]
    await runners[0].start(trip, Trail(), saga_id="s")
    workers = [SagaRecoveryWorker(repository, [runner]) for runner in runners]
    assert sorted(await asyncio.gather(*(w.run_once() for w in workers))) == [0, 1]
    assert world.asked == [("act", "a"), ("act", "b"), ("act", "c")]


async def test_who_has_lost_the_lease_writes_and_begins_nothing_more(
    world: World, repository: WatchedRepository
) -> None:
    """The first holder is stuck in a step for longer than its lease, and not told of it."""
    is_first = True
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def act(_: Trail, call: StepCall) -> None:
        nonlocal is_first
        stuck, is_first = is_first, False
        if stuck:
            reached.set()
            await go_on.wait()
        world.apply(world.ask(call))

    trip = Orchestration(
        "trip",
        Trail,
        [Step("room", StepFunctions(act), compensates=False), Step("car", Scripted(world))],
    )
    runner = OrchestrationRunner(repository, [trip])
    await runner.start(trip, Trail(), saga_id="s")
    with use_clock(ManualClock()) as clock:
        clock.advance(10**9)
        [saga] = await repository.claim(["trip"], worker="first", lease=LEASE)
        first = asyncio.create_task(runner.resume(saga))
        await reached.wait()
        clock.advance(LEASE + 1)
        assert await resume_due(repository, trip)
        go_on.set()
        with pytest.raises(SagaLeaseLostError):
            await first
    assert (await stored(repository)).status is SagaStatus.COMPLETED
    assert world.effects == [("act", "room"), ("act", "car")]
    assert world.times("act", "car") == 1


async def test_a_run_renews_its_lease_and_stops_when_it_is_lost(
    world: World, repository: WatchedRepository
) -> None:
    stopped: list[str] = []

    async def hang(_: Trail, call: StepCall) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(call.step)

    trip = Orchestration("trip", Trail, [Step("room", StepFunctions(hang), compensates=False)])
    runner = OrchestrationRunner(repository, [trip], lease=30)
    with use_clock(ManualClock()) as clock:
        running = asyncio.create_task(runner.run(trip, Trail(), saga_id="s"))
        for seconds in (10.0, 20.0, 30.0, 40.0):
            await until(lambda at=seconds: at in clock.alarms)
            assert await repository.claim(["trip"], worker="other", lease=30) == []
            clock.advance(10)
        clock.advance(31)  # the machine has slept; somebody else takes over
        [claimed] = await repository.claim(["trip"], worker="other", lease=30)
        with pytest.raises(SagaLeaseLostError):
            await running
    assert stopped == ["room"]
    assert (await stored(repository)).epoch == claimed.epoch


async def test_who_breaks_off_a_stream_gives_the_saga_back(
    world: World, repository: WatchedRepository
) -> None:
    trip = trip_of(world, "room", "car")
    runner = OrchestrationRunner(repository, [trip])
    async for _ in runner.stream(trip, Trail(), saga_id="s"):
        break
    worker = SagaRecoveryWorker(repository, [runner])
    await until(worker.run_once, timeout=30)
    assert (await stored(repository)).status is SagaStatus.COMPLETED
    assert world.asked == [("act", "room"), ("act", "car")]


async def test_who_asks_too_late_finds_that_another_has_gone_on(
    world: World, repository: WatchedRepository
) -> None:
    trip = trip_of(world, "room", "car")
    runner = OrchestrationRunner(repository, [trip], lease=LEASE)
    with use_clock(ManualClock()) as clock:
        async with aclosing(runner.stream(trip, Trail(), saga_id="s")) as results:
            await anext(results)
            clock.advance(LEASE + 1)
            assert await resume_due(repository, trip)
            with pytest.raises(SagaLeaseLostError):
                await anext(results)
    assert (await stored(repository)).status is SagaStatus.COMPLETED
    assert world.asked == [("act", "room"), ("act", "car")]


async def test_a_saga_that_waits_turns_back_at_its_deadline(
    world: World, repository: WatchedRepository
) -> None:
    slow = RetryPolicy(max_attempts=5, base_delay=10_000, max_delay=10_000)
    car = Step("car", Scripted(world, ["lose"] * 5), retry=slow)
    trip = Orchestration("trip", Trail, [Step("room", Scripted(world)), car], deadline=60)
    runner = OrchestrationRunner(repository, [trip], patience=0.0)
    worker = SagaRecoveryWorker(repository, [runner])
    with use_clock(ManualClock()) as clock:
        result = await runner.run(trip, Trail(), saga_id="s")
        assert result.status is SagaStatus.RUNNING
        clock.advance(61)
        assert await worker.run_once() == 1
    assert (await stored(repository)).status is SagaStatus.COMPENSATED
    assert world.times("act", "car") == 1
    assert world.asked[-2:] == [("compensate", "car"), ("compensate", "room")]


async def test_a_cancelled_run_is_given_back_at_once(
    world: World, repository: WatchedRepository
) -> None:
    began = asyncio.Event()

    async def act(_: Trail, call: StepCall) -> None:
        began.set()
        if call.attempt == 1:
            await asyncio.Event().wait()
        world.apply(world.ask(call))

    trip = Orchestration("trip", Trail, [Step("room", StepFunctions(act), compensates=False)])
    runner = OrchestrationRunner(repository, [trip])
    running = asyncio.create_task(runner.run(trip, Trail(), saga_id="s"))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await SagaRecoveryWorker(repository, [runner]).run_once() == 1
    assert (await stored(repository)).status is SagaStatus.COMPLETED


async def test_an_outage_of_the_store_does_not_fail_the_saga(
    world: World, repository: WatchedRepository
) -> None:
    class Flaky(MortalRepository):
        outages = 2

        async def save(self, *arguments: Any, **options: Any) -> SagaInstance:
            if self.outages:
                self.outages -= 1
                raise ConnectionError
            return await super().save(*arguments, **options)

    trip = Orchestration("trip", Trail, [Step("room", Scripted(world))])
    flaky: Any = Flaky(repository)
    runner = OrchestrationRunner(flaky, [trip])
    await runner.start(trip, Trail(), saga_id="s")
    worker = SagaRecoveryWorker(repository, [runner])
    with use_clock(ManualClock()) as clock:
        for _ in range(3):
            clock.advance(10**8)
            await worker.run_once()
    assert (await stored(repository)).status is SagaStatus.COMPLETED


# -- by hand ------------------------------------------------------------------------------------


async def test_a_failed_compensation_is_tried_again_when_a_person_wants_it(
    world: World, repository: WatchedRepository
) -> None:
    room = Scripted(world, compensations=["refuse", "refuse"])
    trip = Orchestration(
        "trip",
        Trail,
        [Step("room", room), Step("pay", Scripted(world, ["refuse"]))],
        compensation_retry=attempts(2),
    )
    runner = OrchestrationRunner(repository, [trip])
    assert (await runner.run(trip, Trail(), saga_id="s")).status is SagaStatus.COMPENSATION_FAILED
    worker = SagaRecoveryWorker(repository, [runner])
    assert await worker.run_once() == 0, "it waits for a person"
    await SagaOperations(repository, operator="ada").retry("s", "the hotel is back")
    assert await worker.run_once() == 1
    assert (await stored(repository)).status is SagaStatus.COMPENSATED
    assert world.effects == [("act", "room"), ("compensate", "room")]
    assert repository.problems == []


async def test_a_person_may_have_a_saga_undone_before_its_decision(
    world: World, repository: WatchedRepository
) -> None:
    later = Scripted(world, ["refuse"])
    trip = Orchestration(
        "trip", Trail, [Step("room", Scripted(world)), Step("pay", later)], retry=attempts(3)
    )
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, trip, dies_at=3)
        clock.advance(LEASE + 1)
        await SagaOperations(repository).compensate("s", "the customer called")
        await run_to_the_end(repository, trip, clock)
    assert (await stored(repository)).status is SagaStatus.COMPENSATED
    assert world.asked == [("act", "room"), ("compensate", "room")]


async def test_behind_the_decision_nobody_can_have_it_undone(
    world: World, repository: WatchedRepository
) -> None:
    trip = Orchestration(
        "trip",
        Trail,
        [
            Step("room", Scripted(world)),
            PivotStep("pay", Scripted(world)),
            RetriableStep("send", Scripted(world, ["die"])),
        ],
    )
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, trip)
        clock.advance(LEASE + 1)
        await SagaOperations(repository).compensate("s", "the customer called")
        await run_to_the_end(repository, trip, clock)
    assert (await stored(repository)).status is SagaStatus.COMPLETED
    assert world.times("compensate", "room") == 0
    history = await repository.history("s")
    assert any("nothing is undone any more" in (entry.error or "") for entry in history)


async def test_a_person_who_has_a_saga_undone_hears_of_a_pivot_in_doubt(
    world: World, repository: WatchedRepository
) -> None:
    trip = Orchestration(
        "trip", Trail, [Step("room", Scripted(world)), PivotStep("pay", Scripted(world, ["die"]))]
    )
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, trip)
        clock.advance(LEASE + 1)
        await SagaOperations(repository).compensate("s")
        await run_to_the_end(repository, trip, clock)
    saga = await stored(repository)
    assert saga.status is SagaStatus.COMPENSATION_FAILED
    assert (saga.error or "").startswith("Not undone: pay")
    assert world.times("compensate", "room") == 1


# -- other steps --------------------------------------------------------------------------------


def trip_of(world: World, *names: str, **options: Any) -> Orchestration[Trail]:
    return Orchestration("trip", Trail, [Step(name, Scripted(world)) for name in names], **options)


async def test_a_saga_that_began_with_other_steps_is_left_to_a_person(
    world: World, repository: WatchedRepository
) -> None:
    old, new = trip_of(world, "room", "car"), trip_of(world, "room", "flight", "car")
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, old, dies_at=2, is_written=True)
        await run_to_the_end(repository, new, clock)
        saga = await stored(repository)
        assert saga.status is SagaStatus.FAILED
        assert "began with the steps [room, car], deployed are [room, flight, car]" in (
            saga.error or ""
        )
        assert "accepts_changes" in (saga.error or "")
        accepting = trip_of(world, "room", "flight", "car", accepts_changes=True)
        await SagaOperations(repository).retry("s", "allowed")
        dying: Any = MortalRepository(repository, dies_at=4, is_written=True)
        await run_to_the_end(repository, accepting, clock, [dying])
        assert dying.is_dead, "it goes on with the new steps behind the old ones' end, too"
    assert (await stored(repository)).status is SagaStatus.COMPLETED
    assert world.asked == [("act", "room"), ("act", "flight"), ("act", "car")]


@pytest.mark.parametrize("names", [("car", "room"), ("flight", "room", "car"), ("car",)])
async def test_only_a_beginning_that_is_the_same_may_go_on(
    world: World, repository: WatchedRepository, names: tuple[str, ...]
) -> None:
    new = trip_of(world, *names, accepts_changes=True)
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, trip_of(world, "room", "car"), dies_at=2)
        await run_to_the_end(repository, new, clock)
    assert (await stored(repository)).status is SagaStatus.FAILED
    assert world.asked == [("act", "room")]


async def test_a_saga_that_compensates_stays_on_its_way_back_when_its_steps_change(
    world: World, repository: WatchedRepository
) -> None:
    old = Orchestration(
        "trip", Trail, [Step("room", Scripted(world)), Step("pay", Scripted(world, ["refuse"]))]
    )
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, old, dies_at=4, is_written=True)
        await run_to_the_end(repository, trip_of(world, "flight"), clock)
        assert (await stored(repository)).status is SagaStatus.COMPENSATION_FAILED
        await SagaOperations(repository).retry("s", "the old steps are back")
        await run_to_the_end(repository, old, clock)
    assert (await stored(repository)).status is SagaStatus.COMPENSATED
    assert repository.problems == []


async def test_versions_live_side_by_side(world: World, repository: WatchedRepository) -> None:
    first, second = trip_of(world, "room"), trip_of(world, "room", "car", version=2)
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, first, dies_at=0, is_written=True)
        clock.advance(LEASE + 1)
        runner = OrchestrationRunner(repository, [first, second])
        assert await SagaRecoveryWorker(repository, [runner]).run_once() == 1
        assert (await stored(repository)).status is SagaStatus.COMPLETED
        await runner.start(second, Trail(), saga_id="s-2")
        assert not await resume_due(repository, first), "an old process leaves new ones alone"
        assert await SagaRecoveryWorker(repository, [runner]).run_once() == 1
    assert world.times("act", "car") == 1


async def test_a_context_that_does_not_fit_any_more_is_left_to_a_person(
    world: World, repository: WatchedRepository
) -> None:
    class Other(BaseModel):
        needed: int

    async def act(_: Other, call: StepCall) -> None:
        raise Refused

    new = Orchestration("trip", Other, [Step("room", StepFunctions(act), compensates=False)])
    with use_clock(ManualClock()) as clock:
        await begin_and_die(repository, trip_of(world, "room"), dies_at=0, is_written=True)
        clock.advance(LEASE + 1)
        await resume_due(repository, new)
    saga = await stored(repository)
    assert saga.status is SagaStatus.FAILED
    assert "does not fit what is stored" in (saga.error or "")
    assert lines(await repository.history("s")) == []
