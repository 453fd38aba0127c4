"""Event-driven sagas as Mermaid diagrams."""

from typing import Any

from pydantic import TypeAdapter

from cqrs_ddd_advanced_core.sagas.definition import Reaction, SagaDefinition
from cqrs_ddd_core.diagrams import ClassDiagram, DiagramKind, SequenceDiagram, StateDiagram
from cqrs_ddd_core.domain.event import event_type_of

_UNDOING = "undoing what was done"


def saga_diagram(definition: SagaDefinition, kind: DiagramKind) -> str:
    """Return a saga as a Mermaid diagram."""
    draw = {"state": _states, "sequence": _sequence, "class": _classes}[kind]
    return str(draw(definition))


def _states(definition: SagaDefinition) -> StateDiagram:
    """Which event leads from which step to which."""
    diagram = StateDiagram()
    for reaction in definition.reactions:
        event = event_type_of(reaction.event_type)
        before = reaction.after or ()
        here = reaction.step or (before[-1] if before else None)
        if reaction.step is not None:
            if reaction.starts or not before:
                diagram.begins(reaction.step, event)
            for step in before:
                diagram.transition(step, reaction.step, event)
        for state in [here] if here else definition.steps:
            _ends(diagram, reaction, state, event)
    if any(reaction.compensate for reaction in definition.reactions):
        diagram.ends(_UNDOING)
    return diagram


def _ends(diagram: StateDiagram, reaction: Reaction, state: str, event: str) -> None:
    """Add where a reaction leads besides its own step."""
    said = "" if reaction.step else event
    if reaction.complete:
        diagram.ends(state, said)
    if reaction.suspend is not None:
        diagram.transition(state, f"suspended: {reaction.suspend}", said)
    if reaction.fail is not None:
        diagram.transition(state, _UNDOING, said or reaction.fail)
    elif reaction.compensate is not None:
        diagram.transition(state, _UNDOING, "fails")


def _sequence(definition: SagaDefinition) -> SequenceDiagram:
    """What comes in and what goes out, in the order declared; then the way back."""
    diagram = SequenceDiagram()
    saga = definition.name
    for reaction in definition.reactions:
        diagram.message("Events", saga, event_type_of(reaction.event_type))
        if reaction.send is not None or reaction.send_all is not None:
            commands = "commands" if reaction.send_all is not None else "a command"
            diagram.message(saga, "Commands", f"{commands} of {reaction.step or 'no step'}")
        for note in (reaction.suspend and f"suspended: {reaction.suspend}", reaction.fail):
            if note:
                diagram.note(saga, note)
        if reaction.complete:
            diagram.note(saga, "complete when its commands are done")
    undone = [reaction for reaction in definition.reactions if reaction.compensate is not None]
    if undone:
        diagram.block("opt", "a command is refused, or the saga fails")
        for reaction in reversed(undone):
            what = reaction.compensate_description or f"undo {reaction.step}"
            diagram.message(saga, "Commands", what)
        diagram.end()
    return diagram


def _classes(definition: SagaDefinition) -> ClassDiagram:
    """Which events the saga listens to, and what it remembers."""
    diagram = ClassDiagram()
    for step in definition.steps:
        diagram.has(definition.name, f"step {step}")
    for name in _fields(definition.state_class):
        diagram.has(definition.state_class.__name__, name)
        diagram.knows(definition.name, definition.state_class.__name__, "state")
    for reaction in definition.reactions:
        diagram.knows(definition.name, event_type_of(reaction.event_type), reaction.step or "")
    return diagram


def _fields(state_class: type[Any]) -> list[str]:
    schema: dict[str, Any] = TypeAdapter(state_class).json_schema()
    return list(schema.get("properties", {}))
