"""What a saga does on which event: the one form that builders and classes lead to."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_json

from cqrs_ddd_advanced_core.sagas.errors import SagaConfigurationError, SagaCorrelationError
from cqrs_ddd_core.cqrs.context import get_correlation_id
from cqrs_ddd_core.diagrams import DiagramKind
from cqrs_ddd_core.domain.event import event_type_of
from cqrs_ddd_core.primitives.retry import RetryPolicy

if TYPE_CHECKING:
    from cqrs_ddd_advanced_core.sagas.saga import Saga

Correlate = str | Callable[[Any], Any]
"""How an event tells which saga it belongs to: a field's name, or a function of the event."""

Make = Callable[..., Any]
"""Makes something of an event, or of an event and the saga's state."""

Handler = Callable[[Any, Any], Awaitable[None] | None]
"""Reacts to ``(saga, event)``."""

RETRIES = RetryPolicy(max_attempts=4, base_delay=1.0, max_delay=300.0)


class NoState(BaseModel):
    """The state of a saga that needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """What a saga does on one type of event; see ``SagaBuilder.on`` for each attribute."""

    event_type: type[Any]
    handler: Handler | None = None
    step: str | None = None
    after: tuple[str, ...] | None = None
    starts: bool = False
    correlate: Correlate | None = None
    send: Make | None = None
    send_all: Make | None = None
    compensate: Make | None = None
    compensate_description: str = ""
    complete: bool = False
    suspend: str | None = None
    suspend_timeout: float | None = None
    resume: bool = False
    fail: str | None = None
    compensates_on_fail: bool = True
    timeout: float | None = None
    parks_failures: bool = False

    @property
    def acts_while_suspended(self) -> bool:
        """Whether the event is handled while the saga is suspended, and not kept until later."""
        return self.resume or self.fail is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaDefinition:
    """A saga, ready to be run: made by ``SagaBuilder.build`` or by ``Saga.definition``.

    Attributes:
        name: the stored name; it does not change while there are sagas of it.
        reactions: what it does, in the order declared.
        saga_class: what handlers are given.
        state_class: of its state, a pydantic model or dataclass that can be made without arguments.
        correlate: how events tell which saga they belong to; by correlation id unless given.
        retries: how often its commands are tried, and with which delays.
        on_timeout: what happens when a step or suspension has lasted too long; what the class
            says unless given.
    """

    name: str
    reactions: tuple[Reaction, ...]
    saga_class: "type[Saga[Any]]"
    state_class: type[Any] = NoState
    correlate: Correlate | None = None
    retries: RetryPolicy = RETRIES
    on_timeout: Callable[[Any], Awaitable[None] | None] | None = None

    @property
    def event_types(self) -> tuple[type[Any], ...]:
        """The events it listens to."""
        return tuple(reaction.event_type for reaction in self.reactions)

    @property
    def steps(self) -> tuple[str, ...]:
        """The named steps, in the order declared."""
        return tuple(dict.fromkeys(each.step for each in self.reactions if each.step))

    def reaction_to(self, event_type: type[Any]) -> Reaction | None:
        """Return what is done on events of this type, or of the nearest type it derives from."""
        by_type = {reaction.event_type: reaction for reaction in self.reactions}
        return next((by_type[base] for base in event_type.__mro__ if base in by_type), None)

    def reaction_of(self, step: str) -> Reaction | None:
        """Return the first reaction that enters this step."""
        return next((each for each in self.reactions if each.step == step), None)

    def event_class(self, name: str) -> type[Any] | None:
        """Return the class of events stored as ``name`` that it listens to."""
        waiting: list[type[Any]] = list(self.event_types)
        while waiting:
            event_class = waiting.pop(0)
            if event_type_of(event_class) == name:
                return event_class
            waiting += event_class.__subclasses__()
        return None

    def key_of(self, event: object, reaction: Reaction) -> str:
        """Return which saga the event belongs to.

        Raises:
            SagaCorrelationError: it does not say.
        """
        correlate = reaction.correlate or self.correlate
        if correlate is None:
            key = getattr(event, "correlation_id", None) or get_correlation_id()
        elif isinstance(correlate, str):
            key = getattr(event, correlate, None)
        else:
            key = correlate(event)
        if key is None or key == "":
            by = "correlation_id" if correlate is None else correlate
            raise SagaCorrelationError(self.name, event, by if isinstance(by, str) else "")
        return str(key)

    def to_mermaid(self, kind: DiagramKind = "state") -> str:
        """Return the saga as a Mermaid diagram.

        Args:
            kind: ``"state"`` shows which event leads from which step to which, ``"sequence"`` what
                comes in and what goes out, ``"class"`` what it listens to and remembers.
        """
        from cqrs_ddd_advanced_core.sagas.diagrams import saga_diagram  # noqa: PLC0415 - a cycle

        return saga_diagram(self, kind)

    def dump_state(self, state: object) -> Any:
        """Return the state as plain data."""
        return _adapter(self.state_class).dump_python(state, mode="json", round_trip=True)

    def load_state(self, data: object) -> Any:
        """Return the state that ``data`` holds; a new one for None."""
        if data is None:
            return self.state_class()
        return _adapter(self.state_class).validate_json(to_json(data))


@cache
def _adapter(state_class: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(state_class)


def seconds(duration: float | timedelta | None) -> float | None:
    """Return a duration in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else duration


def make(function: Make, event: object, state: object) -> Any:
    """Call a function of an event, or of an event and the saga's state."""
    return function(event, state) if _takes_state(function) else function(event)


def _takes_state(function: Make) -> bool:
    """Whether a second argument has to be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # something built in
        return False
    needed = [
        each
        for each in parameters
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        and each.default is each.empty
    ]
    return len(needed) > 1


def arranged(reactions: Iterable[Reaction]) -> tuple[Reaction, ...]:
    """Return the reactions with what they leave open: the first starts, steps follow each other.

    A reaction that enters a step or completes comes after the step declared before it, unless it
    says otherwise or starts the saga.
    """
    given = list(reactions)
    first_starts = not any(reaction.starts for reaction in given)
    found: list[Reaction] = []
    for place, reaction in enumerate(given):
        starts = reaction.starts or (first_starts and place == 0)
        after = reaction.after
        if after is None:
            waits = not starts and (reaction.step is not None or reaction.complete)
            before = [each.step for each in found if each.step not in (None, reaction.step)]
            after = tuple(before[-1:]) if waits else ()
        found.append(replace(reaction, starts=starts, after=after))
    return tuple(found)


def checked(definition: SagaDefinition) -> SagaDefinition:
    """Return the definition, if it can work.

    Raises:
        SagaConfigurationError: lists everything that is wrong with it.
    """
    problems = [*_problems_of(definition), *_unreachable(definition)]
    for reaction in definition.reactions:
        problems += _problems_in(reaction, definition.steps)
    if problems:
        raise SagaConfigurationError(definition.name, problems)
    return definition


def _problems_of(definition: SagaDefinition) -> list[str]:
    problems: list[str] = []
    if not definition.name:
        problems.append("It has no name; its rows are found by it.")
    if not definition.reactions:
        problems.append("It listens to no event; add one with on(...).")
    if definition.retries.max_attempts < 1:
        problems.append("Its commands are never tried: max_attempts counts the first attempt, too.")
    try:
        definition.load_state(definition.dump_state(definition.state_class()))
    except Exception as error:  # noqa: BLE001 - whatever the class does, it is no state
        problems.append(
            f"Its state {definition.state_class.__qualname__} cannot be made without arguments and "
            f"stored as JSON ({error}); use a pydantic model whose fields have defaults."
        )
    names: dict[str, type] = {}
    seen: set[type] = set()
    for event_type in definition.event_types:
        if event_type in seen:
            problems.append(f"{event_type.__qualname__} is declared twice; join the two.")
        elif names.setdefault(event_type_of(event_type), event_type) is not event_type:
            problems.append(f"Two events are stored as {event_type_of(event_type)!r}.")
        seen.add(event_type)
    return problems


def _unreachable(definition: SagaDefinition) -> list[str]:
    """Return which steps wait for each other for ever."""
    known, reached = set(definition.steps), set[str]()
    while True:
        more = {
            each.step
            for each in definition.reactions
            if each.step and reached.issuperset(set(each.after or ()) & known)
        }
        if more <= reached:
            break
        reached |= more
    return [
        f"Step {step!r} is never reached: it and the steps before it wait for each other."
        for step in definition.steps
        if step not in reached
    ]


def _problems_in(reaction: Reaction, steps: Sequence[str]) -> list[str]:
    at = f"on({reaction.event_type.__qualname__})"
    ends = [
        name
        for name, is_set in (
            ("complete", reaction.complete),
            ("suspend", reaction.suspend is not None),
            ("fail", reaction.fail is not None),
        )
        if is_set
    ]
    problems: list[str] = []
    if len(ends) > 1:
        problems.append(f"{at} says {' and '.join(ends)}; only one of them can be.")
    if reaction.send is not None and reaction.send_all is not None:
        problems.append(f"{at} has send and send_all; use send_all alone.")
    if reaction.suspend_timeout is not None and reaction.suspend is None:
        problems.append(f"{at} has suspend_timeout without suspend.")
    if reaction.timeout is not None and reaction.step is None:
        problems.append(f"{at} has a timeout but no step; name the step that must not last longer.")
    for name, duration in (
        ("timeout", reaction.timeout),
        ("suspend_timeout", reaction.suspend_timeout),
    ):
        if duration is not None and duration <= 0:
            problems.append(f"{at} has a {name} of {duration:g} s; it must be above zero.")
    after = reaction.after or ()
    unknown = [step for step in after if step not in steps]
    if unknown:
        problems.append(f"{at} comes after {', '.join(map(repr, unknown))}, which is no step here.")
    if reaction.step is not None and reaction.step in after:
        problems.append(f"{at} comes after its own step {reaction.step!r}.")
    if reaction.starts and after:
        problems.append(f"{at} starts the saga and so comes after nothing.")
    return problems
