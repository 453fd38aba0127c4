"""Random steps, random failures, a process that dies anywhere: what holds all the same."""

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cqrs_ddd_advanced_core.orchestration import (
    Fallback,
    Orchestration,
    OrchestrationRunner,
    ParallelSteps,
    PivotStep,
    RetriableStep,
    Step,
    StepCall,
    StepFunctions,
    StepKind,
)
from cqrs_ddd_advanced_core.sagas import SagaAction, SagaOutcome, SagaStatus
from cqrs_ddd_advanced_core.tcc import TCC, TCCPhase, TCCStep, phases_of
from cqrs_ddd_core import use_clock
from cqrs_ddd_core.testing import ManualClock

from .orchestrating import (
    Declined,
    Killed,
    MortalRepository,
    Refused,
    Scripted,
    Trail,
    WatchedRepository,
    World,
    attempts,
    is_done,
    run_to_the_end,
)

TURNS = st.lists(
    st.sampled_from(["ok", "refuse", "decline", "time out", "lose", "die", "die late"]), max_size=4
)
FALLBACK = " (fallback)"
DEATHS = st.lists(st.none() | st.tuples(st.integers(0, 12), st.booleans()), max_size=5)


@dataclass
class Case:
    """A plan: stages of steps, each with what it does in its attempts and compensations.

    The last part is what its fallback does, if it has one.
    """

    stages: list[list[tuple[StepKind, list[str], list[str], list[str] | None]]]
    max_attempts: int
    deaths: list[Any]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    stages: list[Any] = []

    def stage(kind: StepKind) -> None:
        size = 1 if kind is StepKind.PIVOT else draw(st.sampled_from([1, 1, 2, 3]))
        fallbacks = st.none() if kind is StepKind.RETRIABLE else st.none() | TURNS
        stages.append([(kind, draw(TURNS), draw(TURNS), draw(fallbacks)) for _ in range(size)])

    for _ in range(draw(st.integers(1, 3))):
        stage(StepKind.COMPENSATABLE)
    if draw(st.booleans()):
        stage(StepKind.PIVOT)
    for _ in range(draw(st.integers(0, 2))):
        stage(StepKind.RETRIABLE)
    return Case(stages, draw(st.integers(1, 3)), draw(DEATHS))


CLASSES: dict[StepKind, Any] = {
    StepKind.COMPENSATABLE: Step,
    StepKind.PIVOT: PivotStep,
    StepKind.RETRIABLE: RetriableStep,
}


class Checked:
    """A world with steps that look, whenever they are asked, whether they may be."""

    def __init__(self, case: Case) -> None:
        self.case, self.world = case, World()
        self.repository = WatchedRepository()
        self.problems: list[str] = []
        self.kinds: dict[str, StepKind] = {}

    def step_of(
        self, name: str, kind: StepKind, acts: list[str], compensations: list[str]
    ) -> Scripted:
        scripted = Scripted(self.world, acts, compensations)
        scripted.on_call.append(self.look)
        self.kinds[name] = kind
        return scripted

    def look(self, call: StepCall) -> None:
        saga = self.repository._sagas["s"]  # pyright: ignore[reportPrivateUsage]
        journal = self.repository._journals["s"]  # pyright: ignore[reportPrivateUsage]
        if is_done(journal, call.action, call.step):
            self.problems.append(f"{call.action} {call.step} again")
        if call.action in {SagaAction.COMPENSATE, SagaAction.CANCEL}:
            is_replaced = f"{call.step}{FALLBACK}" in self.kinds
            is_back = saga.status is SagaStatus.COMPENSATING
            if not is_back and not (is_replaced and saga.status is SagaStatus.RUNNING):
                self.problems.append(f"{call.step} is undone while {saga.status}")
        elif self.repository.turned_at is not None and any(
            entry.action in {SagaAction.COMPENSATE, SagaAction.CANCEL}
            for entry in journal[self.repository.turned_at :]
            if entry.outcome is SagaOutcome.STARTED
        ):
            self.problems.append(f"{call.action} {call.step} behind a compensation")

    async def run(self, definition: Any, clock: ManualClock) -> Any:
        processes: list[Any] = [
            MortalRepository(
                self.repository,
                *((None,) if death is None else death[:1]),
                is_written=death is not None and death[1],
            )
            for death in self.case.deaths
        ]
        first: Any = processes.pop(0) if processes else self.repository
        try:
            await OrchestrationRunner(first, [definition]).run(definition, Trail(), saga_id="s")
        except Killed:
            if isinstance(first, MortalRepository):
                first.is_dead = True
        if await self.repository.find("s") is None:
            return None
        await run_to_the_end(self.repository, definition, clock, processes)
        return await self.repository.find("s")

    def check_keys(self) -> None:
        assert self.problems + self.repository.problems == []
        assert all(len(keys) == 1 for keys in self.world.keys.values()), "one key an action"


@given(cases())
async def test_wherever_it_dies_all_is_done_or_all_is_undone_and_nothing_twice(case: Case) -> None:
    checked = Checked(case)
    policy = attempts(case.max_attempts)
    steps: list[Any] = []
    for number, stage in enumerate(case.stages):
        members = [
            CLASSES[turns[0]](
                f"{number}{'abc'[place]}",
                handler_of(checked, f"{number}{'abc'[place]}", turns, is_alone=len(stage) == 1),
                give_up_on=() if turns[0] is StepKind.RETRIABLE else (Declined,),
            )
            for place, turns in enumerate(stage)
        ]
        steps.append(members[0] if len(members) == 1 else ParallelSteps(*members))
    definition = Orchestration("s", Trail, steps, retry=policy, compensation_retry=attempts(5))
    with use_clock(ManualClock()) as clock:
        saga = await checked.run(definition, clock)
    if saga is None:
        assert checked.world.asked == []
        return
    checked.check_keys()
    acted = [step for action, step in checked.world.effects if action == "act"]
    undone = [step for action, step in checked.world.effects if action == "compensate"]
    replaced = {name.removesuffix(FALLBACK) for name in checked.kinds if name.endswith(FALLBACK)}
    if saga.status is SagaStatus.COMPLETED:
        assert set(undone) <= replaced
        left = sorted(step.removesuffix(FALLBACK) for step in set(acted) - set(undone))
        assert left == sorted({name.removesuffix(FALLBACK) for name in checked.kinds})
        return
    assert saga.status is SagaStatus.COMPENSATED, saga
    assert {checked.kinds[step] for step in acted} <= {StepKind.COMPENSATABLE}
    assert set(acted) <= set(undone), "a compensation is forgotten"
    back = [step for step in undone if step not in replaced]
    assert back == sorted(back, reverse=True), "the last is undone first"


def handler_of(checked: Checked, name: str, turns: Any, *, is_alone: bool) -> Any:
    """Return a step's handler, which leaves the context alone where others work on it, too."""
    kind, acts, compensations, fallback = turns

    def handler(name: str, acts: list[str]) -> Any:
        scripted = checked.step_of(name, kind, acts, compensations)

        async def act(_: Trail, call: StepCall) -> None:
            await scripted.act(Trail(), call)

        return scripted if is_alone else StepFunctions(act, scripted.compensate)

    primary = handler(name, acts)
    if fallback is None:
        return primary
    failures = (Refused, TimeoutError)
    return Fallback(primary, handler(name + FALLBACK, fallback), failures=failures)


@given(
    st.lists(st.tuples(TURNS, TURNS), min_size=1, max_size=3),
    st.booleans(),
    st.integers(1, 3),
    DEATHS,
)
async def test_all_reservations_become_firm_or_all_are_cancelled(
    participants: list[tuple[list[str], list[str]]],
    in_order: bool,
    max_attempts: int,
    deaths: list[Any],
) -> None:
    checked = Checked(Case([], max_attempts, deaths))
    steps: list[TCCStep[Trail]] = []
    for place, (tries, settlements) in enumerate(participants):
        scripted = checked.step_of("abc"[place], StepKind.COMPENSATABLE, tries, settlements)

        async def try_(_: Trail, call: StepCall, scripted: Scripted = scripted) -> None:
            await scripted.act(Trail(), call)

        steps.append(
            TCCStep(
                "abc"[place],
                try_=try_,
                confirm=scripted.confirm,
                cancel=scripted.cancel,
                give_up_on=(Declined,),
            )
        )
    instantly = attempts(max_attempts)
    tcc = TCC("s", Trail, steps, in_order=in_order, retry=instantly, settlement_retry=instantly)
    with use_clock(ManualClock()) as clock:
        saga = await checked.run(tcc, clock)
    if saga is None:
        return
    checked.check_keys()
    tried, confirmed, cancelled = (
        {step for action, step in checked.world.effects if action == wanted}
        for wanted in ("try", "confirm", "cancel")
    )
    phases = set(phases_of(tcc, await checked.repository.history("s")).values())
    if saga.status is SagaStatus.COMPLETED:
        assert tried == confirmed == {step.name for step in steps}
        assert (cancelled, phases) == (set(), {TCCPhase.CONFIRMED})
    else:
        assert saga.status is SagaStatus.COMPENSATED
        assert confirmed == set()
        assert tried <= cancelled
        assert phases <= {TCCPhase.CANCELLED, TCCPhase.FAILED, TCCPhase.PENDING}
