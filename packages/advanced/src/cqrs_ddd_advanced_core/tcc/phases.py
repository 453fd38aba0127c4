"""Where the participants of a TCC stand."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from cqrs_ddd_advanced_core.sagas.instance import JournalEntry, SagaAction, SagaOutcome
from cqrs_ddd_advanced_core.tcc.definition import TCC


class TCCPhase(StrEnum):
    """Where one participant stands."""

    PENDING = "pending"
    """It has not been asked."""
    TRYING = "trying"
    """It is asked to reserve; nobody knows yet whether it has."""
    TRIED = "tried"
    """It has reserved."""
    CONFIRMING = "confirming"
    CONFIRMED = "confirmed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FAILED = "failed"
    """It has not reserved."""


_BEGUN = {
    SagaAction.TRY: TCCPhase.TRYING,
    SagaAction.CONFIRM: TCCPhase.CONFIRMING,
    SagaAction.CANCEL: TCCPhase.CANCELLING,
}
_DONE = {
    SagaAction.TRY: TCCPhase.TRIED,
    SagaAction.CONFIRM: TCCPhase.CONFIRMED,
    SagaAction.CANCEL: TCCPhase.CANCELLED,
}


def phases_of(tcc: TCC[Any], journal: Iterable[JournalEntry]) -> Mapping[str, TCCPhase]:
    """Return where each participant stands, by name.

    Args:
        tcc: the definition.
        journal: the history of one of its sagas.

    Example:
        ``phases_of(book_trip, await repository.history(saga_id))``
    """
    phases = {step.name: TCCPhase.PENDING for step in tcc.steps}
    for entry in journal:
        if entry.action not in _BEGUN:
            continue
        if entry.outcome is SagaOutcome.COMPLETED:
            phases[entry.step] = _DONE[entry.action]
        elif entry.outcome is SagaOutcome.STARTED:
            phases[entry.step] = _BEGUN[entry.action]
        elif entry.action is SagaAction.TRY:
            phases[entry.step] = TCCPhase.FAILED
    return phases
