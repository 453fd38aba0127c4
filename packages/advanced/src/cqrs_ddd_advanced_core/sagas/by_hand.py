"""What a person may do with a saga."""

from cqrs_ddd_advanced_core.sagas.instance import SagaAction, SagaOutcome, SagaStatus
from cqrs_ddd_advanced_core.sagas.move import ACTIVE, SagaMove
from cqrs_ddd_advanced_core.sagas.record import Sending

_UNDOABLE = (*ACTIVE, SagaStatus.FAILED, SagaStatus.COMPENSATING, SagaStatus.COMPENSATION_FAILED)


def retry_step(move: SagaMove, step: str) -> None:
    """Send once more what has failed in a step, or in undoing it.

    Raises:
        IllegalSagaTransitionError: nothing of the step waits for that.
    """
    if move.status in {*ACTIVE, SagaStatus.FAILED}:
        sendings, action = _failed(move.record.commands, step), SagaAction.ACT
        status = SagaStatus.RUNNING if move.status is SagaStatus.FAILED else move.status
    else:
        top = [each.sending for each in move.record.compensations[-1:]]
        sendings, action = _failed(top, step), SagaAction.COMPENSATE
        status = SagaStatus.COMPENSATING
    if not sendings:
        wanted = f"retry {step!r}, of which nothing has failed that could be done again"
        raise move.illegal(wanted, (SagaStatus.FAILED, SagaStatus.COMPENSATION_FAILED))
    move.note(SagaAction.OPERATOR, SagaOutcome.COMPLETED, step, error="retried by hand")
    for sending in sendings:
        move.send_again(sending, action, is_by_hand=True)
    if not any(each.has_failed for each in move.record.commands):
        move.status, move.error = status, None
        if action is SagaAction.ACT:
            move.renew_deadline()


def undo_by_hand(move: SagaMove, reason: str) -> None:
    """Undo what the saga has done; where that has failed, try again.

    Raises:
        IllegalSagaTransitionError: the saga has come to its end.
    """
    if move.status not in _UNDOABLE:
        raise move.illegal("be compensated", _UNDOABLE)
    if move.record.is_undoing:
        top = move.record.compensations[-1]
        if top.sending.is_under_way:
            return
        move.status = SagaStatus.COMPENSATING
        move.send_again(top.sending, SagaAction.COMPENSATE, is_by_hand=True)
    else:
        move.undo(reason)
    move.note(SagaAction.OPERATOR, SagaOutcome.COMPLETED, move.step or "", error=reason)


def resume_by_hand(move: SagaMove) -> None:
    """Let a suspended saga go on.

    Raises:
        IllegalSagaTransitionError: it is not suspended.
    """
    if move.status is not SagaStatus.SUSPENDED:
        raise move.illegal("resume", [SagaStatus.SUSPENDED])
    move.note(SagaAction.OPERATOR, SagaOutcome.COMPLETED, move.step or "", error="resumed by hand")
    move.resume()


def _failed(sendings: list[Sending], step: str) -> list[Sending]:
    return [each for each in sendings if each.step == step and not each.is_under_way]
