"""What a decision has to know, worked out from the events that a query finds."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast, overload

from cqrs_ddd_core import EventQuery

S = TypeVar("S")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")


@dataclass(frozen=True)
class StateView(Generic[S]):
    """One fact, as the events of a query have it.

    Attributes:
        query: finds the events it depends on; those, and no others, can refuse the decision.
        initial: the fact before the first of them; it is shared, so it should not be mutable.
        evolve: returns the fact after one of them.

    Example:
        >>> from cqrs_ddd_core import DomainEvent
        >>> class CourseDefined(DomainEvent):
        ...     capacity: int
        >>> def capacity_of(course_id: str) -> StateView[int]:
        ...     return StateView(
        ...         EventQuery.of(types=[CourseDefined], tags=[f"course:{course_id}"]),
        ...         initial=0,
        ...         evolve=lambda _, event: event.capacity,
        ...     )
        >>> str(capacity_of("c-1").query)
        'CourseDefined with course:c-1'
    """

    query: EventQuery
    initial: S
    evolve: Callable[[S, Any], S]

    def start(self) -> Any:
        """Return what is carried from event to event."""
        return self.initial

    def step(self, carried: Any, name: str, tags: Collection[str], event: Any) -> Any:
        """Return what is carried on from ``event``, whose stored type and tags these are."""
        if self.query.matches(name, tags, self.query.tenant_id):
            return self.evolve(carried, event)
        return carried

    def finish(self, carried: Any) -> S:
        """Return the fact."""
        return carried


@dataclass(frozen=True)
class _CombinedView(StateView[S]):
    """Several facts as one."""

    make: Callable[..., S]
    views: tuple[StateView[Any], ...]

    def start(self) -> Any:
        return tuple(view.start() for view in self.views)

    def step(self, carried: Any, name: str, tags: Collection[str], event: Any) -> Any:
        pairs = zip(self.views, carried, strict=True)
        return tuple(view.step(part, name, tags, event) for view, part in pairs)

    def finish(self, carried: Any) -> S:
        pairs = zip(self.views, carried, strict=True)
        return self.make(*(view.finish(part) for view, part in pairs))


@overload
def combine_views(
    make: Callable[[A, B], S], a: StateView[A], b: StateView[B], /
) -> StateView[S]: ...
@overload
def combine_views(
    make: Callable[[A, B, C], S], a: StateView[A], b: StateView[B], c: StateView[C], /
) -> StateView[S]: ...
@overload
def combine_views(
    make: Callable[[A, B, C, D], S],
    a: StateView[A],
    b: StateView[B],
    c: StateView[C],
    d: StateView[D],
    /,
) -> StateView[S]: ...
@overload
def combine_views(
    make: Callable[[A, B, C, D, E], S],
    a: StateView[A],
    b: StateView[B],
    c: StateView[C],
    d: StateView[D],
    e: StateView[E],
    /,
) -> StateView[S]: ...
@overload
def combine_views(
    make: Callable[[A, B, C, D, E, F], S],
    a: StateView[A],
    b: StateView[B],
    c: StateView[C],
    d: StateView[D],
    e: StateView[E],
    f: StateView[F],
    /,
) -> StateView[S]: ...
def combine_views(make: Callable[..., S], /, *views: StateView[Any]) -> StateView[S]:
    """Return several facts as one, read at once: ``make`` takes them in this order.

    Combine combined ones where there are more than six.

    Raises:
        EventQueryError: they are of different tenants.

    Example:
        >>> count = lambda tag: StateView(EventQuery.of(tags=[tag]), 0, lambda n, _: n + 1)
        >>> both = combine_views(lambda a, b: (a, b), count("course:c-1"), count("student:s-1"))
        >>> str(both.query)
        'any type with course:c-1, or any type with student:s-1'
    """
    query = views[0].query
    for view in views[1:]:
        query |= view.query
    return _CombinedView(query, cast("S", None), _untaken, make, views)


def _untaken(state: Any, event: Any) -> Any:  # noqa: ARG001 - the parts take events
    return state
