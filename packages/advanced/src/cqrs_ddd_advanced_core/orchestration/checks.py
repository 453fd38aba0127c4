"""What is wrong with a definition, all at once."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from cqrs_ddd_advanced_core.orchestration.context import is_context_type
from cqrs_ddd_advanced_core.orchestration.plan import StepKind
from cqrs_ddd_advanced_core.orchestration.records import FALLBACK_SUFFIX
from cqrs_ddd_advanced_core.orchestration.step import Fallback, ParallelSteps, Step, has_method

LONGEST_NAME = 100
"""Characters that a step's or a saga's name may have."""


def problems_of(
    name: str, version: int, context_type: Any, steps: Sequence[Any], deadline: float | None
) -> list[str]:
    """Return all that is wrong with an orchestration, each with what to do."""
    flat = [step for each in steps for step in _members(each)]
    problems = [
        *saga_problems(name, version, context_type, deadline, [step.name for step in flat]),
        *_order_problems(flat),
        *_parallel_problems(steps),
    ]
    for step in flat:
        problems += _step_problems(step)
    return problems


def saga_problems(
    name: str, version: int, context_type: Any, deadline: float | None, names: Sequence[str]
) -> Iterable[str]:
    """Return what is wrong with what every saga with a plan has."""
    if not name or len(name) > LONGEST_NAME or "@" in name:
        yield f"Its name is to be 1 to {LONGEST_NAME} characters long and to have no '@' in it."
    if version < 1:
        yield f"Its version is {version}; versions begin with 1."
    if not is_context_type(context_type):
        yield (
            f"Its context, {context_type!r}, has no fields that can be stored; make it a pydantic "
            "model or a dataclass."
        )
    if deadline is not None and deadline <= 0:
        yield f"Its deadline of {deadline:g} s is over before it begins."
    if not names:
        yield "It has no steps; give it one at least."
    for step, times in Counter(names).items():
        if times > 1:
            yield f"{times} steps are called {step!r}; give each a name of its own."
        if not step or len(step) > LONGEST_NAME:
            yield f"A step's name is to be 1 to {LONGEST_NAME} characters long, not {step!r}."
        if step.endswith(FALLBACK_SUFFIX):
            yield f"The journal calls a fallback {step!r}; call the step otherwise."


def _members(each: Step[Any] | ParallelSteps[Any]) -> tuple[Step[Any], ...]:
    return each.steps if isinstance(each, ParallelSteps) else (each,)


def _order_problems(steps: list[Step[Any]]) -> Iterable[str]:
    """Steps come in the order of their kinds, and only one decides."""
    decided_by: str | None = None
    for step in steps:
        if step.kind is StepKind.COMPENSATABLE and decided_by is not None:
            yield (
                f"{step.name!r} stands behind {decided_by!r}, where nothing is undone any more; "
                "put it in front of it, or make it a RetriableStep."
            )
        elif step.kind is StepKind.PIVOT and decided_by is not None:
            yield (
                f"{step.name!r} would decide again what {decided_by!r} has decided; make it a "
                "RetriableStep, or put it in front."
            )
        if step.kind is not StepKind.COMPENSATABLE:
            decided_by = decided_by or step.name


def _parallel_problems(steps: Sequence[Any]) -> Iterable[str]:
    for each in steps:
        members = _members(each)
        if not isinstance(each, ParallelSteps):
            continue
        names = ", ".join(repr(step.name) for step in members)
        if not members[1:]:
            yield f"ParallelSteps({names}) has nothing to do side by side; give it two steps."
        if any(step.kind is StepKind.PIVOT for step in members):
            yield f"A pivot cannot be done side by side with other steps: {names}."
        elif len({step.kind for step in members}) > 1:
            yield f"Steps that can be undone and steps that cannot are side by side: {names}."


def _step_problems(step: Step[Any]) -> Iterable[str]:
    if step.timeout is not None and step.timeout <= 0:
        yield f"{step.name!r} has a timeout of {step.timeout:g} s; give it more, or none."
    handlers = [step.handler]
    if isinstance(step.handler, Fallback):
        handlers = [step.handler.primary, step.handler.fallback]
        if step.kind is StepKind.RETRIABLE:
            yield f"{step.name!r} is tried until it is done, so its fallback would never act."
        if not step.handler.failures:
            yield f"{step.name!r} has a fallback for no failure; say which, such as TimeoutError."
        if (step.handler.breaker is None) != (step.handler.circuit is None):
            yield f"{step.name!r} needs both a breaker and a circuit's name, or neither."
    needs_compensate = step.compensates and step.kind is StepKind.COMPENSATABLE
    for handler in handlers:
        if not has_method(handler, "act"):
            yield f"{handler!r}, which is to do {step.name!r}, has no method act(context, call)."
        if needs_compensate and not has_method(handler, "compensate"):
            yield (
                f"{handler!r} cannot undo {step.name!r}: give it a method compensate(context, "
                "call), or say compensates=False where there is nothing to undo."
            )
