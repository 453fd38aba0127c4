"""The definition of a TCC."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from cqrs_ddd_advanced_core.orchestration.checks import saga_problems
from cqrs_ddd_advanced_core.orchestration.definition import ONCE, PlannedSaga
from cqrs_ddd_advanced_core.orchestration.plan import (
    Bind,
    Carry,
    Plan,
    PlannedAction,
    PlannedStep,
    StepKind,
    Variant,
)
from cqrs_ddd_advanced_core.orchestration.records import name_in_outline
from cqrs_ddd_advanced_core.sagas.errors import SagaConfigurationError
from cqrs_ddd_advanced_core.sagas.instance import SagaAction, SagaKind
from cqrs_ddd_advanced_core.tcc.step import TCCStep
from cqrs_ddd_core.ports import IHandlerScope
from cqrs_ddd_core.primitives.retry import RetryPolicy

C = TypeVar("C")

UNTIL_DONE = RetryPolicy(base_delay=0.5, max_delay=300.0)


class TCC(PlannedSaga[C]):
    """A saga that reserves with all participants, then confirms with all, or cancels with all.

    The decision is written down before the first participant hears of it, and is never taken back.
    Confirm and cancel are tried until they work. An ``OrchestrationRunner`` runs it.

    Args:
        name: its name, under which its instances are stored; it stays.
        context: the class of what its participants share: a pydantic model or a dataclass.
        steps: the participants.
        in_order: whether they are asked one after another; by default all are asked at once, and
            no two may change the same field of the context.
        version: counted up when the participants change; the old version stays registered as long
            as instances of it run.
        deadline: seconds from its start until all have to have reserved; later, all are
            cancelled. None without a limit.
        retry: how often and how fast a try is tried again, where the step does not say so itself;
            without it, once.
        settlement_retry: how fast confirm and cancel are tried again; they are tried until done.
        accepts_changes: whether an instance that began with other participants of this version
            may go on with these, where those that it has asked are the first of these.

    Attributes:
        steps: the participants, as they were given.

    Raises:
        SagaConfigurationError: it could never work; tells everything that is wrong.

    Example:
        >>> import asyncio
        >>> from dataclasses import dataclass
        >>> from cqrs_ddd_advanced_core.orchestration import OrchestrationRunner
        >>> from cqrs_ddd_advanced_core.sagas import InMemorySagaRepository
        >>> from cqrs_ddd_advanced_core.tcc import TCCStep
        >>> @dataclass
        ... class Trip:
        ...     seat: str | None = None
        >>> async def reserve(trip, call):
        ...     trip.seat = "4F"
        >>> async def settle(trip, call):
        ...     print(call.action, trip.seat)
        >>> trip = TCC("trip", Trip, [
        ...     TCCStep("flight", try_=reserve, confirm=settle, cancel=settle, timeout=300)
        ... ])
        >>> runner = OrchestrationRunner(InMemorySagaRepository(), [trip])
        >>> asyncio.run(runner.run(trip, Trip())).status.value
        confirm 4F
        'completed'
    """

    kind = SagaKind.TCC

    def __init__(
        self,
        name: str,
        context: type[C],
        steps: Sequence[TCCStep[C]],
        *,
        in_order: bool = False,
        version: int = 1,
        deadline: float | None = None,
        retry: RetryPolicy = ONCE,
        settlement_retry: RetryPolicy = UNTIL_DONE,
        accepts_changes: bool = False,
    ) -> None:
        self.steps = tuple(steps)
        names = [step.name for step in self.steps]
        problems = [
            *saga_problems(name, version, context, deadline, names),
            *(problem for step in self.steps for problem in _step_problems(step)),
        ]
        if problems:
            raise SagaConfigurationError(name, problems)
        tries = tuple(_tried(step, step.retry or retry, settlement_retry) for step in self.steps)
        confirms = tuple(_confirmed(step, settlement_retry) for step in self.steps)
        super().__init__(
            name,
            context,
            Plan((*(((each,) for each in tries) if in_order else (tries,)), confirms)),
            version=version,
            deadline=deadline,
            accepts_changes=accepts_changes,
        )


def _tried(step: TCCStep[Any], retry: RetryPolicy, settlement_retry: RetryPolicy) -> PlannedStep:
    """Return what reserves, and what gives the reservation up."""
    forward = PlannedAction(
        label=SagaAction.TRY,
        step=step.name,
        bind=_bound(step.try_),
        retry=retry,
        timeout=step.attempt_timeout,
        give_up_on=step.give_up_on,
        in_doubt_on=step.in_doubt_on,
    )
    backward = PlannedAction(
        label=SagaAction.CANCEL,
        step=step.name,
        bind=_bound(step.cancel),
        retry=settlement_retry,
        until_done=True,
        timeout=step.attempt_timeout,
    )
    return PlannedStep(
        name=name_in_outline(SagaAction.TRY, step.name),
        kind=StepKind.COMPENSATABLE,
        variants=(Variant(forward=forward, backward=backward),),
        reservation=step.timeout,
    )


def _confirmed(step: TCCStep[Any], settlement_retry: RetryPolicy) -> PlannedStep:
    forward = PlannedAction(
        label=SagaAction.CONFIRM,
        step=step.name,
        bind=_bound(step.confirm),
        retry=settlement_retry,
        until_done=True,
        timeout=step.attempt_timeout,
    )
    return PlannedStep(
        name=name_in_outline(SagaAction.CONFIRM, step.name),
        kind=StepKind.RETRIABLE,
        variants=(Variant(forward=forward),),
    )


def _bound(function: Carry) -> Bind:
    async def bind(_: IHandlerScope) -> Carry:
        return function

    return bind


def _step_problems(step: TCCStep[Any]) -> Iterable[str]:
    for what, seconds in (("", step.timeout), ("attempt_", step.attempt_timeout)):
        if seconds is not None and seconds <= 0:
            yield f"{step.name!r} has a {what}timeout of {seconds:g} s; give it more, or none."
    for what, function in (
        ("try_", step.try_),
        ("confirm", step.confirm),
        ("cancel", step.cancel),
    ):
        if not callable(function):
            yield f"{what} of {step.name!r} is {function!r}; make it an async function."
