"""What an event does to a saga: it is handled, kept until its time comes, or passed over."""

import inspect
from typing import Any

from cqrs_ddd_advanced_core.sagas.definition import Reaction, make
from cqrs_ddd_advanced_core.sagas.instance import SagaAction, SagaOutcome, SagaStatus
from cqrs_ddd_advanced_core.sagas.move import ACTIVE, SagaMove
from cqrs_ddd_advanced_core.sagas.record import KeptEvent, StoredMessage
from cqrs_ddd_core.domain.event import event_type_of


async def take(move: SagaMove, event_id: str, event: object, reaction: Reaction) -> None:
    """Handle an event, and those that waited for it; keep it if its own time has not come.

    A late event, and one of a step that has been entered already, is noted and passed over.
    """
    await replay(move)
    name = _name_of(reaction)
    if not move.listens or reaction.step in move.record.entered:
        why = "late" if not move.listens else "the step has been entered already"
        move.note(SagaAction.EVENT, SagaOutcome.SKIPPED, name, message_id=event_id, error=why)
    elif _is_ready(move, reaction):
        await _react(move, event_id, event, reaction)
        await replay(move)
    else:
        move.note(SagaAction.EVENT, SagaOutcome.STARTED, name, message_id=event_id)
        stored = StoredMessage(
            name=event_type_of(type(event)),
            payload=move.codec.encode(event),
            content_type=move.codec.content_type,
        )
        move.record.kept.append(KeptEvent(event_id=event_id, event=stored))


async def replay(move: SagaMove) -> None:
    """Handle the kept events whose time has come, in the order they came."""
    while move.is_open:
        for kept in move.record.kept:
            event_class = move.definition.event_class(kept.event.name)
            reaction = move.definition.reaction_to(event_class) if event_class else None
            if event_class is not None and reaction is not None and _is_ready(move, reaction):
                move.record.kept.remove(kept)
                event = move.codec.decode(event_class, kept.event.payload)
                if reaction.step in move.record.entered:
                    await take(move, kept.event_id, event, reaction)
                else:
                    await _react(move, kept.event_id, event, reaction)
                break
        else:
            return


def _is_ready(move: SagaMove, reaction: Reaction) -> bool:
    is_suspended = move.status is SagaStatus.SUSPENDED
    is_heard = reaction.acts_while_suspended if is_suspended else move.is_open
    return is_heard and set(move.record.entered).issuperset(reaction.after or ())


async def _react(move: SagaMove, event_id: str, event: object, reaction: Reaction) -> None:
    name = _name_of(reaction)
    move.note(SagaAction.EVENT, SagaOutcome.COMPLETED, name, message_id=event_id)
    if reaction.resume:
        move.resume()
    if reaction.step is not None:
        move.record.entered.append(reaction.step)
        move.step = reaction.step
        move.record.deadline = move.after(reaction.timeout)
    if reaction.handler is not None:
        answer = reaction.handler(move.definition.saga_class(move, name), event)
        if inspect.isawaitable(answer):
            await answer
    if move.status in ACTIVE:
        _send(move, name, event, reaction)
        _end(move, reaction)


def _send(move: SagaMove, name: str, event: object, reaction: Reaction) -> None:
    numbers = [move.dispatch(command, name) for command in _commands(move, event, reaction)]
    if reaction.compensate is not None:
        undoing = make(reaction.compensate, event, move.state)
        if undoing is not None:
            description = reaction.compensate_description
            move.add_compensation(undoing, name, description, numbers or None)


def _end(move: SagaMove, reaction: Reaction) -> None:
    if reaction.fail is not None:
        move.fail(reaction.fail, compensate=reaction.compensates_on_fail)
    elif reaction.suspend is not None:
        move.suspend(reaction.suspend, reaction.suspend_timeout)
    elif reaction.complete:
        move.complete()


def _commands(move: SagaMove, event: object, reaction: Reaction) -> list[Any]:
    if reaction.send_all is not None:
        return list(make(reaction.send_all, event, move.state))
    command = make(reaction.send, event, move.state) if reaction.send is not None else None
    return [] if command is None else [command]


def _name_of(reaction: Reaction) -> str:
    return reaction.step or event_type_of(reaction.event_type)
