"""Aggregates as functions: what is decided, and how the state evolves."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from cqrs_ddd_core import AggregateRootMixin, DomainEvent

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True, eq=False)
class Decider(Generic[C, S, E]):
    """The rules of one kind of aggregate as three functions.

    Attributes:
        decide: returns the events that a command leads to in a state; raises to refuse it.
        evolve: returns the state after an event.
        initial_state: returns the state before the first event; a class without required fields.
        name: of the kind of aggregate, as streams carry it.
        events: the classes of its events.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Opened:
        ...     seats: int
        >>> @dataclass(frozen=True)
        ... class Course:
        ...     seats: int = 0
        >>> courses = Decider(
        ...     decide=lambda command, state: [Opened(command)],
        ...     evolve=lambda state, event: Course(event.seats),
        ...     initial_state=Course,
        ...     name="Course",
        ...     events=[Opened],
        ... )
        >>> course = courses.new("c-1")
        >>> course.execute(30), course.state
        ([Opened(seats=30)], Course(seats=30))
    """

    decide: Callable[[C, S], Sequence[E] | None]
    evolve: Callable[[S, E], S]
    initial_state: Callable[[], S]
    name: str
    events: Iterable[type] = field(default=())

    @property
    def state_type(self) -> type[S]:
        """The class of the states."""
        if inspect.isclass(self.initial_state):
            return cast("type[S]", self.initial_state)
        return type(self.initial_state())

    def new(self, aggregate_id: str) -> "DecidedAggregate[C, S, E]":
        """Return the aggregate as it is before its first event."""
        return DecidedAggregate(self, aggregate_id)


class DecidedAggregate(AggregateRootMixin, Generic[C, S, E]):
    """The state of a decider under an id, as a repository loads and saves it.

    Attributes:
        id: identity.
        decider: its rules.
        state: after all its events.
    """

    def __init__(self, decider: Decider[C, S, E], aggregate_id: str) -> None:
        self.id, self.decider = aggregate_id, decider
        self.state: S = decider.initial_state()

    def execute(self, command: C) -> list[E]:
        """Decide on ``command``, take its events in and return them.

        Raises:
            Exception: what ``decide`` raises; nothing has changed then.
        """
        events = list(self.decider.decide(command, self.state) or ())
        for event in events:
            self.take(event)
            self.add_event(event)
        return events

    def take(self, event: E) -> None:
        """Go on to the state after ``event``."""
        self.state = self.decider.evolve(self.state, event)

    def add_event(self, event: Any) -> None:
        """Record that ``event`` happened, under the decider's name."""
        if isinstance(event, DomainEvent):
            event = event.stamped(aggregate_type=self.decider.name)
        super().add_event(event)
