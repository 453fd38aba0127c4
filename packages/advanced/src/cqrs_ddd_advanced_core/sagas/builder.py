"""Says a saga in one expression: which event sends which command, and what undoes it."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Self, TypeVar

from cqrs_ddd_advanced_core.sagas.definition import (
    RETRIES,
    Correlate,
    NoState,
    Reaction,
    SagaDefinition,
    arranged,
    checked,
    seconds,
)
from cqrs_ddd_advanced_core.sagas.saga import Saga, steps
from cqrs_ddd_core.primitives.retry import RetryPolicy

E = TypeVar("E")


class SagaBuilder:
    """Builds the definition of a saga.

    Args:
        name: the stored name of the saga; it does not change while there are sagas of it.

    Example:
        >>> from cqrs_ddd_core import Command, DomainEvent
        >>> class OrderPlaced(DomainEvent):
        ...     order_id: str
        >>> class ItemsReserved(DomainEvent):
        ...     order_id: str
        >>> class Reserve(Command[None]):
        ...     order_id: str
        >>> class Release(Command[None]):
        ...     order_id: str
        >>> class Charge(Command[None]):
        ...     order_id: str
        >>> saga = (
        ...     SagaBuilder("Fulfilment")
        ...     .on(OrderPlaced,
        ...         send=lambda e: Reserve(order_id=e.order_id),
        ...         step="reserving",
        ...         compensate=lambda e: Release(order_id=e.order_id))
        ...     .on(ItemsReserved,
        ...         send=lambda e: Charge(order_id=e.order_id),
        ...         step="charging",
        ...         complete=True)
        ...     .build()
        ... )
        >>> saga.steps
        ('reserving', 'charging')
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._reactions: list[Reaction] = []
        self._state_class: type[Any] = NoState
        self._correlate: Correlate | None = None
        self._retries = RETRIES
        self._on_timeout: Callable[[Any], Awaitable[None] | None] | None = None

    def on(
        self,
        event_type: type[E],
        handler: Callable[[Saga[Any], E], Awaitable[None] | None] | None = None,
        *,
        send: Callable[[E], Any] | Callable[[E, Any], Any] | None = None,
        send_all: Callable[[E], Iterable[Any]] | Callable[[E, Any], Iterable[Any]] | None = None,
        step: str | None = None,
        compensate: Callable[[E], Any] | Callable[[E, Any], Any] | None = None,
        compensate_description: str = "",
        complete: bool = False,
        suspend: str | bool | None = None,
        suspend_timeout: float | timedelta | None = None,
        resume: bool = False,
        fail: str | bool | None = None,
        compensate_on_fail: bool = True,
        starts: bool = False,
        after: str | Sequence[str] | None = None,
        timeout: float | timedelta | None = None,
        correlate: str | Callable[[E], Any] | None = None,
        parks_failures: bool = False,
    ) -> Self:
        """React to events of this type.

        ``send``, ``send_all`` and ``compensate`` are functions of the event, or of the event and
        the saga's state.

        Args:
            event_type: a class of events.
            handler: called first, with the saga and the event; it changes ``saga.state`` or asks
                for what cannot be said here (see ``Saga``).
            send: makes the command to be sent; None sends nothing.
            send_all: makes several, which are carried out one after another.
            step: the name of the step entered; entered once in a saga's life. Without one, the
                reaction takes place each time such an event comes.
            compensate: makes the command that undoes the step. It is made now and sent when the
                saga is undone, unless the step's commands are sure to have done nothing.
            compensate_description: says for people what it undoes.
            complete: the saga is complete when its commands are done.
            suspend: wait for an event that resumes it or for a person; the reason, for people.
            suspend_timeout: seconds it waits, at most; for ever by default.
            resume: end the waiting. Such an event is handled while the saga is suspended; others
                are kept until then.
            fail: the saga has failed; the reason, for people. Handled while suspended as well.
            compensate_on_fail: whether a failure undoes what was done; if not, the saga waits for a
                person.
            starts: whether the event begins a saga. The first one declared does, unless another
                says so.
            after: the steps that have been entered before this event is handled; one that comes
                earlier is kept. By default a reaction that names a step or completes comes after
                the step declared before it, and any other at any time.
            timeout: seconds the step may last; see ``on_timeout``.
            correlate: the field, or a function, by which this event tells which saga it belongs to.
            parks_failures: whether the saga waits for a person when a command of the step has
                failed, instead of undoing everything.
        """
        self._reactions.append(
            Reaction(
                event_type=event_type,
                handler=handler,
                step=step,
                after=steps(after),
                starts=starts,
                correlate=correlate,
                send=send,
                send_all=send_all,
                compensate=compensate,
                compensate_description=compensate_description,
                complete=complete,
                suspend=_reason(suspend, event_type),
                suspend_timeout=seconds(suspend_timeout),
                resume=resume,
                fail=_reason(fail, event_type),
                compensates_on_fail=compensate_on_fail,
                timeout=seconds(timeout),
                parks_failures=parks_failures,
            )
        )
        return self

    def correlate_by(self, correlate: Correlate) -> Self:
        """Find the saga of an event by a field of it, or by what a function of it returns.

        Unless this is said, it is the correlation id.
        """
        self._correlate = correlate
        return self

    def with_state_class(self, state_class: type[Any]) -> Self:
        """Give the saga a state: a pydantic model or dataclass, each field with a default."""
        self._state_class = state_class
        return self

    def with_max_retries(
        self, max_retries: int, *, base_delay: float = 1.0, max_delay: float = 300.0
    ) -> Self:
        """Say how often commands are tried again that fail for another reason than a rule.

        Args:
            max_retries: tries after the first.
            base_delay: seconds before the second try, at most; doubled for each further one.
            max_delay: seconds no delay exceeds.
        """
        attempts = max_retries + 1
        self._retries = RetryPolicy(attempts, base_delay=base_delay, max_delay=max_delay)
        return self

    def on_timeout(self, handler: Callable[[Saga[Any]], Awaitable[None] | None]) -> Self:
        """Call ``handler`` when a step or a suspension has lasted too long.

        It may let the saga complete, fail, go on or send something. Without one the saga fails and
        is undone.
        """
        self._on_timeout = handler
        return self

    def build(self) -> SagaDefinition:
        """Return the definition.

        Raises:
            SagaConfigurationError: lists everything that is wrong with it.
        """
        return checked(
            SagaDefinition(
                name=self._name,
                reactions=arranged(self._reactions),
                saga_class=Saga[Any],
                state_class=self._state_class,
                correlate=self._correlate,
                retries=self._retries,
                on_timeout=self._on_timeout,
            )
        )


def _reason(given: str | bool | None, event_type: type[Any]) -> str | None:
    """Return why a saga fails or is suspended: what was said, else the event's name."""
    return (event_type.__name__ if given else None) if not isinstance(given, str) else given
