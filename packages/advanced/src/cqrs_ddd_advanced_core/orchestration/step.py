"""The steps that an orchestration is made of."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from cqrs_ddd_advanced_core.orchestration.call import StepCall
from cqrs_ddd_advanced_core.orchestration.plan import Bind, Carry, StepKind
from cqrs_ddd_core.ports import ICircuitBreaker, IHandlerScope
from cqrs_ddd_core.primitives.retry import RetryPolicy

C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)

IN_DOUBT: tuple[type[Exception], ...] = (TimeoutError, ConnectionError)
"""Errors that do not tell whether the other side has done what it was asked."""


class IStepHandler(Protocol[C_contra]):
    """Does a step. One that can be undone has a ``compensate`` with the same parameters, too.

    It may have a ``verify`` with the same parameters: asked whether the step is done when an
    attempt was interrupted or timed out, it answers with a bool, and may complete the context.
    """

    async def act(self, context: C_contra, call: StepCall, /) -> Any:
        """Do the step.

        What it changes in the context, or a new context that it returns, is what the next step
        gets; anything else that it returns is streamed to whoever runs the saga. What an attempt
        that failed has changed is forgotten.
        """
        ...


class StepFunctions(NamedTuple, Generic[C]):
    """A step's handler made of functions.

    Attributes:
        act: does the step.
        compensate: undoes it.
        verify: tells whether it is done.
    """

    act: Callable[[C, StepCall], Awaitable[Any]]
    compensate: Callable[[C, StepCall], Awaitable[Any]] | None = None
    verify: Callable[[C, StepCall], Awaitable[bool]] | None = None


StepHandlerOf = IStepHandler[C] | type[IStepHandler[C]] | StepFunctions[C]


@dataclass(frozen=True)
class Fallback(Generic[C]):
    """A step's handler with another one that steps in.

    The fallback gets the context as the primary got it. Only what has acted is compensated, each
    by its own ``compensate``; a primary of which that is in doubt is compensated before the
    fallback acts, so that no effect is there twice.

    Attributes:
        primary: does the step.
        fallback: does it when the primary fails with one of ``failures``, after its last attempt,
            or when the circuit is open.
        failures: what the fallback steps in for; other errors fail the step.
        breaker: keeps count of the primary's failures, and spares it while its circuit is open.
        circuit: the circuit's name: what the primary calls, such as the payment provider.
    """

    primary: StepHandlerOf[C]
    fallback: StepHandlerOf[C]
    _: KW_ONLY
    failures: tuple[type[Exception], ...]
    breaker: ICircuitBreaker | None = None
    circuit: str | None = None


@dataclass(frozen=True)
class Step(Generic[C]):
    """A step that can be undone.

    Attributes:
        name: what the journal calls it; running sagas find it by that, so it stays.
        handler: an object with ``act`` and ``compensate``, a class of such objects, which is made
            anew for each attempt, or a ``Fallback``.
        retry: how often and how fast it is tried again; the orchestration's without one.
        compensation_retry: the same for its compensation.
        timeout: seconds that an attempt has.
        give_up_on: errors behind which it is not tried again, such as a business refusal.
        in_doubt_on: errors behind which its effect may be there, so that it is compensated
            although it failed; behind others it is not.
        compensates: whether it has something to undo; False for a step that only looks.
    """

    name: str
    handler: StepHandlerOf[C] | Fallback[C]
    _: KW_ONLY
    retry: RetryPolicy | None = None
    compensation_retry: RetryPolicy | None = None
    timeout: float | None = None
    give_up_on: tuple[type[Exception], ...] = ()
    in_doubt_on: tuple[type[Exception], ...] = IN_DOUBT
    compensates: bool = True

    kind: ClassVar[StepKind] = StepKind.COMPENSATABLE


@dataclass(frozen=True)
class PivotStep(Step[C]):
    """The step that decides: once it is done, nothing is undone any more.

    While it is in doubt whether it is done, it is tried again, however often.
    """

    kind: ClassVar[StepKind] = StepKind.PIVOT


@dataclass(frozen=True)
class RetriableStep(Step[C]):
    """A step behind the decision: it is tried until it is done, and never undone."""

    kind: ClassVar[StepKind] = StepKind.RETRIABLE


@dataclass(frozen=True, init=False)
class ParallelSteps(Generic[C]):
    """Steps that are done side by side; the next one begins when all are done.

    Each works on a context of its own, as it was when the steps began; what they change is put
    together, and no two may change the same field. When one fails, the others end the attempt
    that is under way, and all are compensated.

    Attributes:
        steps: the steps.
    """

    steps: tuple[Step[C], ...]

    def __init__(self, *steps: Step[C]) -> None:
        object.__setattr__(self, "steps", steps)


def method_of(handler: Any, name: str) -> Bind:
    """Return what finds a method of a handler, which is made if it is a class."""

    async def bind(scope: IHandlerScope) -> Carry:
        target: Any = await scope.resolve(handler) if inspect.isclass(handler) else handler
        return getattr(target, name)

    return bind


def has_method(handler: Any, name: str) -> bool:
    """Whether a handler, or the objects of a class, can be asked for this."""
    return callable(getattr(handler, name, None))
