"""A decision: the state it is made on, and the events it leads to."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from cqrs_ddd_advanced_core.decisions.state_view import StateView
from cqrs_ddd_core import (
    AggregateRootMixin,
    EventTypeRegistry,
    ReadOnlyUnitOfWorkError,
    UntaggedEventError,
    new_id,
    tags_of,
)

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


class Decision(AggregateRootMixin, Generic[S]):
    """What was read for one decision, to be tracked by the unit of work as an aggregate is.

    Attributes:
        id: of this decision, in this unit of work.
        view: what it depends on.
        known: how many events of the store it rests on.
        read_only: whether it was read for a query, which decides nothing.
        recorded: how many events were recorded.
        unsaved: those of them that the store has not been given yet.
    """

    def __init__(self, view: StateView[S], event_types: EventTypeRegistry) -> None:
        self.id, self.view, self._types = new_id(), view, event_types
        self.known, self.recorded, self.read_only = 0, 0, False
        self.unsaved: list[Any] = []
        self._unsaved_known = 0
        self._carried = view.start()

    @property
    def state(self) -> S:
        """What the view makes of all events read and recorded."""
        return self.view.finish(self._carried)

    def take(self, name: str, tags: Sequence[str], event: Any) -> None:
        """Take in an event that the store has found; an upcaster may have given it another type."""
        self.known += 1
        self._evolve(name, tags, event)

    def record(self, *events: Any) -> None:
        """Decide that ``events`` happen; they are appended if nothing that was read has changed.

        Raises:
            UntaggedEventError: one has no tag, so no other decision could know of it.
            ReadOnlyUnitOfWorkError: it was read for a query.
        """
        if self.read_only:
            raise ReadOnlyUnitOfWorkError
        named = [(self._types.name_of(_class_of(event)), tags_of(event)) for event in events]
        for event, (name, tags) in zip(events, named, strict=True):
            if not tags:
                raise UntaggedEventError(name, getattr(event, "event_id", None))
        for event, (name, tags) in zip(events, named, strict=True):
            self._unsaved_known += self._evolve(name, tags, event)
            self.unsaved.append(event)
            self.recorded += 1
            self.remember_event(event)

    def saved(self) -> None:
        """Go on from the events that the store has been given."""
        self.known += self._unsaved_known
        self._unsaved_known = 0
        self.unsaved.clear()

    def _evolve(self, name: str, tags: Sequence[str], event: Any) -> bool:
        """Change the state by an event; return whether the query finds it."""
        query = self.view.query
        is_found = query.matches(name, tags, query.tenant_id)
        if is_found:
            self._carried = self.view.step(self._carried, name, tags, event)
        return is_found


def _class_of(event: object) -> type[Any]:
    return cast("type[Any]", type(event))


@dataclass(frozen=True)
class DecisionModel(Generic[C, S, E]):
    """The rules for one kind of command as two functions.

    Attributes:
        view: returns what has to be known to decide on a command.
        decide: returns the events that it leads to; raises to refuse it.

    Example:
        >>> from typing import Annotated
        >>> from cqrs_ddd_core import DomainEvent, EventQuery, Tag
        >>> USERNAME = Tag("username")
        >>> class UsernameClaimed(DomainEvent):
        ...     username: Annotated[str, USERNAME]
        >>> def is_claimed(username: str) -> StateView[bool]:
        ...     query = EventQuery.of(types=[UsernameClaimed], tags=[USERNAME(username)])
        ...     return StateView(query, initial=False, evolve=lambda *_: True)
        >>> def claim(username: str, claimed: bool) -> list[UsernameClaimed]:
        ...     return [] if claimed else [UsernameClaimed(username=username)]
        >>> CLAIM = DecisionModel(view=is_claimed, decide=claim)
        >>> [event.username for event in CLAIM.decided("ada", after=[])]
        ['ada']
        >>> CLAIM.decided("ada", after=[UsernameClaimed(username="ada")])
        []
    """

    view: Callable[[C], StateView[S]]
    decide: Callable[[C, S], Sequence[E] | None]

    def decided(self, command: C, *, after: Iterable[Any]) -> list[E]:
        """Return what ``command`` leads to after these events, without a store: for tests of rules.

        Raises:
            Exception: what ``decide`` raises.
        """
        types = EventTypeRegistry()
        decision = Decision(self.view(command), types)
        for event in after:
            decision.take(types.name_of(_class_of(event)), tags_of(event), event)
        return list(self.decide(command, decision.state) or ())
