"""given/when/then for aggregates, and for deciders that are plain functions."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Generic, Self, TypeVar, cast, overload

from cqrs_ddd_core.testing.comparison import Difference, require_values
from cqrs_ddd_core.testing.outcome import Outcome, attributes_of

S = TypeVar("S")
Evolve = Callable[[S, Any], S | None]


class AggregateOutcome(Outcome, Generic[S]):
    """What an action on an aggregate led to.

    Attributes:
        subject: the aggregate after the action; None where it could not be made.
        result: what the action returned; None where it failed.
    """

    def __init__(
        self, events: Sequence[Any], error: Exception | None, subject: S | None, result: Any
    ) -> None:
        super().__init__(events, error)
        self.subject, self.result = subject, result

    def then_state(self, **expected: Any) -> Self:
        """Expect these attributes of the aggregate, whether the action succeeded or not.

        Raises:
            AssertionError: shows the expected and the actual values side by side.
        """
        if self.subject is None:
            raise Difference(f"There is no aggregate: the action raised {self.error!r}.")
        what = f"The {type(self.subject).__name__}"
        require_values(what, expected, attributes_of(self.subject, expected))
        return self

    def then_result(self, expected: Any) -> Self:
        """Expect this to be what the action returned, and no error.

        Raises:
            AssertionError: shows the expected and the actual result side by side.
        """
        if self.error is not None:
            raise Difference(f"The action raised {self.error!r}.") from self.error
        require_values("The result", {"result": expected}, {"result": self.result})
        return self


class GivenNothing:
    """Nothing exists yet; the action makes the aggregate."""

    def when(self, action: Callable[[], S]) -> AggregateOutcome[S]:
        """Make the aggregate: ``action`` returns it."""
        try:
            subject = action()
        except Exception as error:  # noqa: BLE001 - then_raises looks at it
            return AggregateOutcome([], error, None, None)
        return AggregateOutcome(_take_events(subject), None, subject, subject)


class Given(Generic[S]):
    """An aggregate, or the state of a decider, before the action."""

    def __init__(self, subject: S, evolve: Evolve[S] | None) -> None:
        self._subject, self._evolve = subject, evolve

    def when(self, action: Callable[[S], Any]) -> AggregateOutcome[S]:
        """Do ``action`` to it.

        For a state that records no events itself, such as a decider's, the events are those
        that ``action`` returns; ``evolve`` applies them to the state.
        """
        subject = self._subject
        try:
            result = action(subject)
        except Exception as error:  # noqa: BLE001 - then_raises looks at it
            return AggregateOutcome(_take_events(subject), error, subject, None)
        if hasattr(subject, "clear_events"):
            return AggregateOutcome(_take_events(subject), None, subject, result)
        events = _as_events(result)
        if self._evolve is not None:
            subject = _evolved(subject, events, self._evolve)
        return AggregateOutcome(events, None, subject, result)


@overload
def given() -> GivenNothing: ...
@overload
def given(
    subject: Callable[[], S], /, *events: Any, evolve: Evolve[S] | None = None
) -> Given[S]: ...
@overload
def given(subject: S, /, *events: Any, evolve: Evolve[S] | None = None) -> Given[S]: ...
def given(*subject_and_events: Any, evolve: Evolve[Any] | None = None) -> Any:
    """Begin a scenario with what there is before the action.

    Args:
        *subject_and_events: nothing, where the action makes the aggregate; else the aggregate,
            or a function that returns it, then the events that brought it into its state. The
            aggregate is copied; events that it has pending do not count as the action's.
        evolve: applies one event: returns the new state, or None when it changed the state in
            place. Needed where events are given.

    Raises:
        TypeError: events are given without ``evolve``.

    Example:
        >>> from cqrs_ddd_core import AggregateRoot, DomainEvent
        >>> class OrderCancelled(DomainEvent):
        ...     reason: str
        >>> class Order(AggregateRoot[str]):
        ...     status: str = "open"
        ...     def cancel(self, reason: str) -> None:
        ...         if self.status == "shipped":
        ...             raise ValueError("It is on its way.")
        ...         self.status = "cancelled"
        ...         self.add_event(OrderCancelled(reason=reason))
        >>> outcome = given(Order(id="o-1")).when(lambda order: order.cancel("too late"))
        >>> outcome = outcome.then(OrderCancelled(aggregate_id="o-1", reason="too late"))
        >>> outcome = outcome.then_state(status="cancelled")
        >>> shipped = given(Order(id="o-1", status="shipped"))
        >>> outcome = shipped.when(lambda order: order.cancel("too late")).then_raises(ValueError)

        A wrong expectation says what there was instead:

        >>> given(Order(id="o-1")).when(lambda order: order.cancel("late")).then(
        ...     OrderCancelled(reason="early")
        ... )
        Traceback (most recent call last):
            ...
        cqrs_ddd_core.testing.comparison.Difference: The events are not as expected.
             expected              actual
              OrderCancelled        OrderCancelled
          !=    reason = 'early'      reason = 'late'
    """
    if not subject_and_events:
        return GivenNothing()
    first, *events = subject_and_events
    subject = first() if callable(first) else deepcopy(first)
    _take_events(subject)
    if events and evolve is None:
        raise TypeError(
            f"{len(events)} event(s) are given but nothing applies them to a "
            f"{type(subject).__name__}; say how with evolve=..., such as evolve={_a_hint(subject)}."
        )
    if events and evolve is not None:
        subject = _evolved(subject, events, evolve)
    return Given(subject, evolve)


def _take_events(subject: Any) -> list[Any]:
    clear: Any = getattr(subject, "clear_events", None)
    return clear() if clear is not None else []


def _as_events(result: Any) -> list[Any]:
    """Return what a decider decided: no event, one, or several."""
    if result is None:
        return []
    return list(cast("Sequence[Any]", result)) if isinstance(result, list | tuple) else [result]


def _evolved(subject: S, events: Sequence[Any], evolve: Evolve[S]) -> S:
    for event in events:
        subject = evolve(subject, event) or subject
    return subject


def _a_hint(subject: Any) -> str:
    return f"{type(subject).__name__}.apply"
