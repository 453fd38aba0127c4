"""What the handlers of a saga are given, and the base of sagas that are written as classes."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

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
from cqrs_ddd_advanced_core.sagas.instance import SagaStatus
from cqrs_ddd_core.primitives.retry import RetryPolicy

if TYPE_CHECKING:
    from cqrs_ddd_advanced_core.sagas.move import SagaMove

S = TypeVar("S")
F = TypeVar("F", bound=Callable[..., Any])
_REACTION = "__cqrs_ddd_reaction__"


class Saga(Generic[S]):
    """A saga as its handlers see it; derive from it for logic that a builder cannot say.

    A handler changes ``state`` and asks for commands. All of it is saved together when the handler
    returns, the commands as messages in the outbox; when it raises, nothing of it has happened. It
    must do nothing else: no other store, no call of another service. That is what commands are
    for.

    Attributes:
        saga_type: the stored name; it does not change while there are sagas of it.
        state_class: of ``state``: a pydantic model or dataclass, each field with a default.
        correlate: the field, or the function, by which events tell which saga they belong to; by
            correlation id unless given.
        retries: how often the commands are tried, and with which delays.

    Example:
        >>> from pydantic import BaseModel
        >>> from cqrs_ddd_core import Command, DomainEvent
        >>> class OrderPlaced(DomainEvent):
        ...     order_id: str
        >>> class Reserve(Command[None]):
        ...     order_id: str
        >>> class Release(Command[None]):
        ...     order_id: str
        >>> class Progress(BaseModel):
        ...     reservations: int = 0
        >>> class Fulfilment(Saga[Progress]):
        ...     saga_type = "shop.fulfilment"
        ...     state_class = Progress
        ...     correlate = "order_id"
        ...
        ...     @on_event(OrderPlaced, step="reserving")
        ...     def reserve(self, event: OrderPlaced) -> None:
        ...         self.state.reservations += 1
        ...         self.dispatch(
        ...             Reserve(order_id=event.order_id),
        ...             compensate=Release(order_id=event.order_id),
        ...         )
        >>> Fulfilment.definition().steps
        ('reserving',)
    """

    saga_type: ClassVar[str]
    state_class: ClassVar[type[Any]] = NoState
    correlate: ClassVar[Correlate | None] = None
    retries: ClassVar[RetryPolicy] = RETRIES

    def __init__(self, move: "SagaMove", step: str) -> None:
        self._move, self._step = move, step

    @classmethod
    def definition(cls) -> SagaDefinition:
        """Return what the class says, checked.

        Raises:
            SagaConfigurationError: lists everything that is wrong with it.
        """
        methods = [getattr(cls, name) for name in _in_order(cls)]
        found = [getattr(method, _REACTION) for method in methods if hasattr(method, _REACTION)]
        return checked(
            SagaDefinition(
                name=getattr(cls, "saga_type", cls.__name__),
                reactions=arranged(cast("list[Reaction]", found)),
                saga_class=cls,
                state_class=cls.state_class,
                correlate=vars(cls).get("correlate", cls.correlate),
                retries=cls.retries,
            )
        )

    # -- where it stands ------------------------------------------------------------------------

    @property
    def saga_id(self) -> str:
        """Its id."""
        return self._move.saga.saga_id

    @property
    def correlation_id(self) -> str | None:
        """The conversation it belongs to."""
        return self._move.saga.correlation_id

    @property
    def status(self) -> SagaStatus:
        """Where it is in its life."""
        return self._move.status

    @property
    def step(self) -> str | None:
        """The step it is in."""
        return self._move.step

    @property
    def state(self) -> S:
        """What it remembers; saved when the handler returns."""
        return self._move.state

    # -- what a handler may ask for -------------------------------------------------------------

    def dispatch(
        self, command: object, *, compensate: object = None, description: str = ""
    ) -> None:
        """Send ``command``, and have ``compensate`` sent if the saga is undone later.

        The compensation is left out when the command is sure to have done nothing.

        Raises:
            IllegalSagaTransitionError: the saga goes forward no more.
        """
        number = self._move.dispatch(command, self._step)
        if compensate is not None:
            self._move.add_compensation(compensate, self._step, description, [number])

    def add_compensation(self, command: object, description: str = "") -> None:
        """Have ``command`` sent if the saga is undone later, whatever became of its commands.

        Raises:
            IllegalSagaTransitionError: the saga goes forward no more.
        """
        self._move.add_compensation(command, self._step, description)

    def complete(self) -> None:
        """Come to the end; the saga is complete when all its commands are done."""
        self._move.complete()

    def fail(self, reason: str, *, compensate: bool = True) -> None:
        """Go no further.

        Args:
            reason: why.
            compensate: whether what was done is undone; if not, a person has to look at it.
        """
        self._move.fail(reason, compensate=compensate)

    def suspend(self, reason: str, timeout: float | timedelta | None = None) -> None:
        """Keep events until one that resumes the saga, or a person, comes.

        Args:
            reason: what it waits for.
            timeout: seconds after which ``on_timeout`` is called; by default it waits for ever.
        """
        self._move.suspend(reason, seconds(timeout))

    def resume(self) -> None:
        """Go on with the events that were kept."""
        self._move.resume()

    async def on_timeout(self) -> None:
        """Decide what happens when a step or a suspension has lasted too long.

        Unless a class overrides it, the saga fails and is compensated.
        """
        self.fail(f"{self._step or 'It'} has lasted too long.")


def on_event(
    event_type: type[Any],
    *,
    step: str | None = None,
    after: str | Sequence[str] | None = None,
    starts: bool = False,
    resumes: bool = False,
    timeout: float | timedelta | None = None,
    correlate: Correlate | None = None,
    parks_failures: bool = False,
) -> Callable[[F], F]:
    """Have a method of a ``Saga`` handle events of this type.

    Args:
        event_type: a class of events.
        step: the name of the step entered.
        after: the steps that have been entered before.
        starts: whether the event begins a saga.
        resumes: whether it ends a suspension; it is handled while that lasts.
        timeout: seconds the step may last.
        correlate: how this event tells which saga it belongs to.
        parks_failures: whether the saga waits for a person when a command of the step has failed.

    ``SagaBuilder.on`` says more of each; ``Saga`` has an example.
    """

    def mark(method: F) -> F:
        setattr(
            method,
            _REACTION,
            Reaction(
                event_type=event_type,
                handler=method,
                step=step,
                after=steps(after),
                starts=starts,
                resume=resumes,
                timeout=seconds(timeout),
                correlate=correlate,
                parks_failures=parks_failures,
            ),
        )
        return method

    return mark


def steps(after: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names of steps that were given as one or several."""
    return (after,) if isinstance(after, str) else None if after is None else tuple(after)


def _in_order(cls: type) -> list[str]:
    """Return the names in a class, those of its bases first, in the order they were written."""
    return list(dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base)))
