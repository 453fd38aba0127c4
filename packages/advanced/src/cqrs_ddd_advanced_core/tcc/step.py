"""A participant of a TCC."""

from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Generic, TypeVar

from cqrs_ddd_advanced_core.orchestration.call import StepCall
from cqrs_ddd_advanced_core.orchestration.step import IN_DOUBT
from cqrs_ddd_core.primitives.retry import RetryPolicy

C = TypeVar("C")

Participate = Callable[[C, StepCall], Awaitable[Any]]


@dataclass(frozen=True)
class TCCStep(Generic[C]):
    """One participant: what it is asked to reserve, and what becomes of the reservation.

    Each function gets the context and a ``StepCall``; see ``IStepHandler.act`` for what it may
    change and return. The keys of try, confirm and cancel differ; the saga's id and the step's name
    are the same in all three.

    Attributes:
        name: what the journal calls it; running sagas find it by that, so it stays.
        try_: reserves.
        confirm: makes the reservation firm; has to work in the end, and is tried until it does.
        cancel: gives the reservation up, also where none came about; is tried until it works.
        timeout: seconds for which a reservation holds, from when it is first asked for. When not
            all are there by then, all are cancelled. None where it holds until it is cancelled.
        attempt_timeout: seconds that an attempt at any of the three has.
        retry: how often and how fast ``try_`` is tried again; the TCC's without one.
        give_up_on: errors of ``try_`` behind which it is not tried again, such as a refusal.
        in_doubt_on: errors of ``try_`` behind which the reservation may be there, so that it is
            cancelled; behind others it is not.
    """

    name: str
    _: KW_ONLY
    try_: Participate[C]
    confirm: Participate[C]
    cancel: Participate[C]
    timeout: float | None = None
    attempt_timeout: float | None = None
    retry: RetryPolicy | None = None
    give_up_on: tuple[type[Exception], ...] = ()
    in_doubt_on: tuple[type[Exception], ...] = IN_DOUBT
