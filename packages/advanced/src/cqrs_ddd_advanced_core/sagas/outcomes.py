"""What becomes of a saga's commands, and what is due when its time has come."""

import inspect
from datetime import datetime

from cqrs_ddd_advanced_core.sagas.instance import SagaAction, SagaOutcome, SagaStatus
from cqrs_ddd_advanced_core.sagas.move import ACTIVE, SagaMove
from cqrs_ddd_advanced_core.sagas.reacting import replay
from cqrs_ddd_advanced_core.sagas.record import Compensation, Sending

COMPENSATED_BY_HAND = "A person asked for it to be undone."
_COMPLETED, _FAILED = SagaOutcome.COMPLETED, SagaOutcome.FAILED


def expects(move: SagaMove, message_id: str) -> bool:
    """Whether an attempt is under way, so that its command may be carried out.

    It is not when it was done or has failed already, or when the saga took it back.
    """
    if move.status in {*ACTIVE, SagaStatus.FAILED}:
        candidates = move.record.commands
    elif move.status is SagaStatus.COMPENSATING:
        candidates = [each.sending for each in move.record.compensations if each.has_begun]
    else:
        return False
    return any(each.is_under_way and move.message_id(each) == message_id for each in candidates)


def done(move: SagaMove, message_id: str) -> None:
    """Take note that a command has been carried out."""
    record = move.record
    for sending in record.commands:
        if move.message_id(sending) == message_id:
            record.commands.remove(sending)
            _note(move, SagaAction.ACT, _COMPLETED, sending)
            move.complete_if_done()
            return
    undone = record.compensations.pop()
    _note(move, SagaAction.COMPENSATE, _COMPLETED, undone.sending)
    move.undo_next()


def failed(move: SagaMove, message_id: str, error: str, *, is_refusal: bool) -> None:
    """Take note that an attempt has failed: try again later, or give up.

    Args:
        move: the saga.
        message_id: the attempt.
        error: what it failed with.
        is_refusal: whether a rule refused the command, so that it has surely done nothing, and to
            try again is in vain.
    """
    for sending in move.record.commands:
        if move.message_id(sending) == message_id:
            _command_failed(move, sending, error, is_refusal=is_refusal)
            return
    _compensation_failed(move, move.record.compensations[-1], error)


def _command_failed(move: SagaMove, sending: Sending, error: str, *, is_refusal: bool) -> None:
    sending.error = move.error = error
    sending.in_doubt = sending.in_doubt or not is_refusal
    _note(move, SagaAction.ACT, _FAILED, sending, error)
    if not is_refusal and _is_tried_again(move, sending):
        return
    sending.has_failed = True
    reaction = move.definition.reaction_of(sending.step)
    if move.status in ACTIVE:
        parks = reaction is not None and reaction.parks_failures
        move.fail(f"{sending.message.name} failed: {error}", compensate=not parks)


def _compensation_failed(move: SagaMove, compensation: Compensation, error: str) -> None:
    sending = compensation.sending
    sending.error = move.error = error
    _note(move, SagaAction.COMPENSATE, _FAILED, sending, error)
    if not _is_tried_again(move, sending):
        sending.has_failed = True
        move.status = SagaStatus.COMPENSATION_FAILED


def _is_tried_again(move: SagaMove, sending: Sending) -> bool:
    retries = move.definition.retries
    tried = sending.attempt - sending.spent
    if tried >= retries.max_attempts:
        return False
    sending.retry_at = move.after(retries.delay(tried))
    return True


async def wake(move: SagaMove, at: datetime) -> None:
    """Do what is due at ``at``, and what a person has asked for by changing what is stored."""
    if move.status is SagaStatus.COMPENSATING and not move.record.is_undoing:
        move.undo(COMPENSATED_BY_HAND)
    elif move.status is SagaStatus.COMPENSATING:
        move.undo_next()
        latest = [each.sending for each in move.record.compensations[-1:]]
        _send_due(move, latest, SagaAction.COMPENSATE, at)
    elif move.status in ACTIVE:
        _send_due(move, move.record.commands, SagaAction.ACT, at)
        if move.record.deadline is not None and move.record.deadline <= at:
            await _time_out(move)
        await replay(move)
        move.complete_if_done()


def _send_due(move: SagaMove, sendings: list[Sending], action: SagaAction, at: datetime) -> None:
    is_by_hand = move.saga.attempts == 0  # how a person asks for another attempt
    for sending in sendings:
        is_due = sending.retry_at is not None and (is_by_hand or sending.retry_at <= at)
        if sending.has_failed:
            move.renew_deadline()
        if is_due or sending.has_failed:
            move.send_again(sending, action, is_by_hand=is_by_hand or sending.has_failed)


async def _time_out(move: SagaMove) -> None:
    step = move.step or ""
    move.note(SagaAction.TIMEOUT, _COMPLETED, step, error=move.record.waits_for)
    move.record.deadline = None
    saga = move.definition.saga_class(move, step)
    on_timeout = move.definition.on_timeout
    answer = saga.on_timeout() if on_timeout is None else on_timeout(saga)
    if inspect.isawaitable(answer):
        await answer


def _note(
    move: SagaMove,
    action: SagaAction,
    outcome: SagaOutcome,
    sending: Sending,
    error: str | None = None,
) -> None:
    message_id = move.message_id(sending)
    attempt = sending.attempt
    move.note(action, outcome, sending.step, attempt=attempt, message_id=message_id, error=error)
