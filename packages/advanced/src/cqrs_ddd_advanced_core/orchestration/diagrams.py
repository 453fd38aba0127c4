"""Orchestrations and TCCs as Mermaid diagrams: both are drawn from their plans."""

from collections.abc import Callable, Iterator
from itertools import pairwise

from cqrs_ddd_advanced_core.orchestration.plan import (
    Plan,
    PlannedAction,
    PlannedStep,
    StepKind,
    Variant,
)
from cqrs_ddd_core.diagrams import ClassDiagram, DiagramKind, SequenceDiagram, StateDiagram

_Draw = Callable[[str, Plan], SequenceDiagram | StateDiagram | ClassDiagram]


def plan_diagram(name: str, plan: Plan, kind: DiagramKind) -> str:
    """Return a plan as a Mermaid diagram.

    Args:
        name: what the saga is called.
        plan: its steps.
        kind: what to draw.
    """
    draw: dict[DiagramKind, _Draw] = {
        "sequence": _sequence,
        "state": _states,
        "class": _classes,
    }
    return str(draw[kind](name, plan))


def _sequence(name: str, plan: Plan) -> SequenceDiagram:
    """Who is asked for what, stage by stage; then the way back."""
    diagram = SequenceDiagram()
    for stage in plan.stages:
        for place, step in enumerate(stage):
            if len(stage) > 1:
                diagram.block("par" if place == 0 else "and", step.variants[0].forward.step)
            _ask(diagram, name, step)
        if len(stage) > 1:
            diagram.end()
    back = list(_way_back(plan))
    if back:
        diagram.block("opt", "a step fails")
        for _, action in back:
            diagram.message(name, action.step, action.label.value)
        diagram.end()
    return diagram


def _ask(diagram: SequenceDiagram, name: str, step: PlannedStep) -> None:
    first, *others = step.variants
    diagram.message(name, first.forward.step, first.forward.label.value)
    if step.kind is StepKind.PIVOT:
        diagram.note(name, "behind this, nothing is undone")
    for variant in others:
        diagram.block("opt", f"instead, behind {_failures(first)}")
        diagram.message(name, variant.forward.step, f"{variant.forward.label} (fallback)")
        diagram.end()


def _states(_: str, plan: Plan) -> StateDiagram:
    """Which action follows which, and where a failure leads."""
    diagram = StateDiagram()
    _draw_way_there(diagram, plan)
    _draw_way_back(diagram, plan)
    return diagram


def _draw_way_there(diagram: StateDiagram, plan: Plan) -> None:
    before: list[str] = []
    for stage in plan.stages:
        states = [_state(step.variants[0].forward) for step in stage]
        for state in states:
            if not before:
                diagram.begins(state)
            for earlier in before:
                diagram.transition(earlier, state)
        before = states
    for state in before:
        diagram.ends(state)


def _draw_way_back(diagram: StateDiagram, plan: Plan) -> None:
    back = [(number, _state(action)) for number, action in _way_back(plan)]
    for (_, state), (_, following) in pairwise(back):
        diagram.transition(state, following)
    for number, stage in enumerate(plan.stages):
        undone = next((state for place, state in back if place <= number), None)
        for step in stage:
            if undone is not None and step.kind is not StepKind.RETRIABLE:
                diagram.transition(_state(step.variants[0].forward), undone, "fails")
    if back:
        diagram.ends(back[-1][1])


def _classes(name: str, plan: Plan) -> ClassDiagram:
    """What the steps consist of."""
    diagram = ClassDiagram()
    place = 0
    for stage in plan.stages:
        for step in stage:
            place += 1
            shown = step.variants[0].forward.step
            for variant in step.variants:
                for action in (variant.forward, variant.backward):
                    if action is not None:
                        is_other = variant is not step.variants[0]
                        diagram.has(shown, f"{action.label}{' (fallback)' if is_other else '()'}")
            diagram.knows(name, shown, f"{place}. {step.kind}")
    return diagram


def _way_back(plan: Plan) -> Iterator[tuple[int, PlannedAction]]:
    """Yield what undoes the steps, the last one first, each with the number of its stage."""
    for number, stage in reversed(list(enumerate(plan.stages))):
        for step in reversed(stage):
            backward = step.variants[0].backward
            if backward is not None:
                yield number, backward


def _state(action: PlannedAction) -> str:
    return f"{action.label} {action.step}"


def _failures(variant: Variant) -> str:
    return " or ".join(failure.__name__ for failure in variant.failures) or "an open circuit"
