"""One move of an event-driven saga: from what is stored to what is to be stored and sent."""

from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from cqrs_ddd_advanced_core.sagas.definition import SagaDefinition
from cqrs_ddd_advanced_core.sagas.errors import IllegalSagaTransitionError
from cqrs_ddd_advanced_core.sagas.instance import (
    JournalEntry,
    SagaAction,
    SagaInstance,
    SagaOutcome,
    SagaStatus,
)
from cqrs_ddd_advanced_core.sagas.record import (
    Compensation,
    SagaRecord,
    Sending,
    StoredMessage,
)
from cqrs_ddd_advanced_core.scheduling.command_names import command_type_of
from cqrs_ddd_core.cqrs.context import get_causation_id
from cqrs_ddd_core.ports import IMessageCodec, OutboxMessage
from cqrs_ddd_core.primitives.clock import utc_now

SAGA_COMMAND = "cqrs-ddd.saga-command"
"""The type of the messages that carry sagas' commands: route it to a ``SagaCommandPublisher``."""
SAGA_ID, COMMAND_TYPE = "saga-id", "command-type"

ACTIVE = frozenset({SagaStatus.RUNNING, SagaStatus.SUSPENDED})


class SagaMove:
    """A saga while something happens to it. Nothing here waits for a store or a bus.

    Args:
        definition: what the saga does.
        saga: the saga as it is stored.
        codec: encodes commands and kept events.

    Attributes:
        record: what it remembers; changed in place.
        state: the user's state; changed in place.
        status: where it stands by now.
        step: the step it is in.
        error: what went wrong last.
        journal: what has happened in this move.
        outgoing: the messages to be sent if and only if the move is saved.
    """

    def __init__(
        self, definition: SagaDefinition, saga: SagaInstance, codec: IMessageCodec
    ) -> None:
        self.definition, self.codec = definition, codec
        self.record = SagaRecord.of(saga)
        self.state: Any = definition.load_state(self.record.state)
        self.status, self.step, self.error = saga.status, saga.step, saga.error
        self.journal: list[JournalEntry] = []
        self.outgoing: list[OutboxMessage] = []
        self.now = utc_now()
        self.saga = saga
        if self.status is SagaStatus.RUNNING and self.record.waits_for is not None:
            self.record.waits_for = None  # a person has resumed it
            self.renew_deadline()

    @property
    def is_open(self) -> bool:
        """Whether events lead it on."""
        return self.status in ACTIVE and not self.record.is_completing

    @property
    def listens(self) -> bool:
        """Whether events lead it on, or may do so when a person has let it go on."""
        return self.is_open or (self.status is SagaStatus.FAILED and not self.record.is_completing)

    def result(self) -> SagaInstance:
        """Return the saga as it is to be saved."""
        self.record.state = self.definition.dump_state(self.state)
        times = self.record.times() if self.status in (*ACTIVE, SagaStatus.COMPENSATING) else []
        return replace(
            self.saga,
            status=self.status,
            step=self.step,
            error=self.error,
            data=self.record.model_dump_json().encode(),
            entries=self.saga.entries + len(self.journal),
            attempts=max((each.attempt for each in self.record.under_way()), default=0),
            wake_at=min(times, default=None),
            updated_at=self.now,
            finished_at=(self.saga.finished_at or self.now) if self.status.is_final else None,
        )

    def note(self, action: SagaAction, outcome: SagaOutcome, step: str = "", **more: Any) -> None:
        """Write an entry into the journal."""
        number = self.saga.entries + len(self.journal) + 1
        self.journal.append(
            JournalEntry(
                number=number, action=action, outcome=outcome, step=step, at=self.now, **more
            )
        )

    # -- sending --------------------------------------------------------------------------------

    def message_id(self, sending: Sending) -> str:
        """Return the id of the current attempt: the same each time it is worked out."""
        return f"{self.saga.saga_id}/{sending.number}/{sending.attempt}"

    def dispatch(self, command: object, step: str) -> int:
        """Send a command when this move is saved; return its number.

        Raises:
            IllegalSagaTransitionError: the saga goes forward no more.
        """
        if self.status not in ACTIVE:
            raise self.illegal("dispatch a command", ACTIVE)
        number = self._next_number()
        sending = Sending(number=number, step=step, message=self._stored(command, number))
        self.record.commands.append(sending)
        self.send(sending, SagaAction.ACT)
        return sending.number

    def add_compensation(
        self, command: object, step: str, description: str = "", undoes: list[int] | None = None
    ) -> None:
        """Have ``command`` sent when the saga is undone, before those added earlier.

        Raises:
            IllegalSagaTransitionError: the saga goes forward no more.
        """
        if self.status not in ACTIVE:
            raise self.illegal("take another compensation", ACTIVE)
        number = self._next_number()
        sending = Sending(number=number, step=step, message=self._stored(command, number))
        self.record.compensations.append(
            Compensation(sending=sending, description=description, undoes=undoes)
        )

    def send(self, sending: Sending, action: SagaAction) -> None:
        """Put the current attempt of a message on its way."""
        message_id = self.message_id(sending)
        stored = sending.message
        self.outgoing.append(
            OutboxMessage(
                message_id=message_id,
                event_type=SAGA_COMMAND,
                payload=stored.payload,
                content_type=stored.content_type,
                partition_key=f"saga/{self.saga.saga_id}",
                occurred_at=self.now,
                correlation_id=self.saga.correlation_id,
                causation_id=get_causation_id(),
                tenant_id=self.saga.tenant_id,
                headers={SAGA_ID: self.saga.saga_id, COMMAND_TYPE: stored.name},
            )
        )
        self.note(
            action,
            SagaOutcome.STARTED,
            sending.step,
            attempt=sending.attempt,
            message_id=message_id,
            data=stored.payload,
        )

    def send_again(self, sending: Sending, action: SagaAction, *, is_by_hand: bool = False) -> None:
        """Make another attempt; one that a person asked for has all others behind it again."""
        if is_by_hand:
            sending.spent = sending.attempt
        sending.attempt += 1
        sending.retry_at, sending.has_failed = None, False
        self.send(sending, action)

    def _stored(self, command: object, number: int) -> StoredMessage:
        """Return a command as it is kept, with an id that every attempt at it has."""
        ids = {
            "command_id": f"{self.saga.saga_id}/{number}",
            "correlation_id": self.saga.correlation_id,
        }
        return StoredMessage(
            name=command_type_of(type(command)),
            payload=self.codec.encode(_stamped(command, ids)),
            content_type=self.codec.content_type,
        )

    def _next_number(self) -> int:
        self.record.sent += 1
        return self.record.sent

    # -- moving ---------------------------------------------------------------------------------

    def complete(self) -> None:
        """Come to the end: at once, or when the commands that are under way are done."""
        if self.status not in ACTIVE:
            raise self.illegal("complete", ACTIVE)
        self.status = SagaStatus.RUNNING
        self.record.is_completing, self.record.waits_for = True, None
        self._drop_kept()
        self.complete_if_done()

    def complete_if_done(self) -> None:
        """Come to the end if nothing is left to wait for."""
        is_done = self.record.is_completing and not self.record.commands
        if is_done and self.status in ACTIVE:
            self.status = SagaStatus.COMPLETED
            self.record.is_completing, self.record.deadline = False, None

    def fail(self, reason: str, *, compensate: bool = True) -> None:
        """Go no further; undo what was done, or leave it to a person."""
        allowed = {*ACTIVE, SagaStatus.FAILED}
        if self.status not in allowed:
            raise self.illegal("fail", allowed)
        if compensate:
            self.undo(reason)
            return
        self.status, self.error = SagaStatus.FAILED, reason
        self.record.deadline = self.record.waits_for = None

    def suspend(self, reason: str, timeout: float | None = None) -> None:
        """Wait for an event that resumes it, or for a person."""
        if not self.is_open:
            raise self.illegal("be suspended", ACTIVE)
        self.status = SagaStatus.SUSPENDED
        self.record.waits_for, self.record.deadline = reason, self.after(timeout)
        self.note(SagaAction.SUSPEND, SagaOutcome.COMPLETED, self.step or "", error=reason)

    def resume(self) -> None:
        """Go on; the time of the step begins anew."""
        if self.status is SagaStatus.SUSPENDED:
            self.status, self.record.waits_for = SagaStatus.RUNNING, None
            self.renew_deadline()
            self.note(SagaAction.RESUME, SagaOutcome.COMPLETED, self.step or "")

    def renew_deadline(self) -> None:
        """Give the current step its whole time again."""
        reaction = self.definition.reaction_of(self.step or "")
        self.record.deadline = self.after(reaction.timeout if reaction is not None else None)

    def after(self, duration: float | None) -> Any:
        """Return the moment so many seconds from now."""
        return None if duration is None else self.now + timedelta(seconds=duration)

    # -- going back -----------------------------------------------------------------------------

    def undo(self, reason: str) -> None:
        """Pass the point of no return: nothing goes forward any more, what was done is undone."""
        record = self.record
        self.status, self.error = SagaStatus.COMPENSATING, reason
        record.is_undoing, record.is_completing = True, False
        record.deadline = record.waits_for = None
        self._drop_kept()
        commands, record.commands = record.commands, []
        for sending in commands:
            self._revoke(sending)
        self.undo_next()

    def undo_next(self) -> None:
        """Send the compensation of the latest step that is not undone; without one, be done."""
        if not self.record.compensations:
            self.status = SagaStatus.COMPENSATED
            return
        top = self.record.compensations[-1]
        if not top.has_begun:
            top.has_begun = True
            self.send(top.sending, SagaAction.COMPENSATE)

    def _revoke(self, sending: Sending) -> None:
        """Take a command back. One that has surely done nothing need not be undone."""
        message_id = self.message_id(sending)
        kept = [message for message in self.outgoing if message.message_id != message_id]
        never_left = len(kept) < len(self.outgoing) and sending.attempt == 1
        self.outgoing = kept
        if not sending.has_failed:
            self.note(SagaAction.ACT, SagaOutcome.SKIPPED, sending.step, message_id=message_id)
        if never_left or (sending.has_failed and not sending.in_doubt):
            self._strike(sending.number)

    def _strike(self, number: int) -> None:
        """Leave out compensations of which all commands have surely done nothing."""
        for compensation in list(self.record.compensations):
            if compensation.undoes and number in compensation.undoes:
                compensation.undoes.remove(number)
                if not compensation.undoes:
                    self.record.compensations.remove(compensation)
                    self.note(SagaAction.COMPENSATE, SagaOutcome.SKIPPED, compensation.sending.step)

    def _drop_kept(self) -> None:
        for kept in self.record.kept:
            self.note(SagaAction.EVENT, SagaOutcome.SKIPPED, message_id=kept.event_id)
        self.record.kept.clear()

    def illegal(self, wanted: str, allowed: Any) -> IllegalSagaTransitionError:
        """Return the error that says what is not possible where it stands."""
        status = "completing" if self.record.is_completing else self.status
        return IllegalSagaTransitionError(self.saga.saga_id, status, wanted, sorted(allowed))


def _stamped(command: Any, ids: dict[str, str | None]) -> Any:
    """Return a command with these ids, as far as it has fields for them."""
    if isinstance(command, BaseModel):
        known = type(command).model_fields
        return command.model_copy(update={key: ids[key] for key in ids if key in known})
    if is_dataclass(command) and not isinstance(command, type):
        known = {each.name for each in fields(command)}
        return replace(command, **{key: ids[key] for key in ids if key in known})
    return command
