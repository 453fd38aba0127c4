"""What an event-driven saga keeps in its row beside the status: enough to go on after any crash."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from cqrs_ddd_advanced_core.sagas.instance import SagaInstance


class _Kept(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


class StoredMessage(_Kept):
    """A command or an event, encoded.

    Attributes:
        name: the stored name of its class.
        payload: its bytes.
        content_type: how they are encoded.
    """

    name: str
    payload: bytes
    content_type: str


class Sending(_Kept):
    """A message of the saga's on its way: sent, or waiting to be sent again.

    Attributes:
        number: its place among all that the saga has sent; its id is derived from it.
        step: the step that sent it.
        attempt: which attempt is the current one; the first is 1.
        retry_at: when the next attempt is due; None while one is under way, or none is to come.
        in_doubt: whether an attempt failed in a way that may have left something behind.
        error: what the last attempt failed with.
        spent: how many attempts were made before a person asked for more.
        has_failed: whether no further attempt follows by itself.
    """

    number: int
    step: str
    message: StoredMessage
    attempt: int = 1
    retry_at: datetime | None = None
    in_doubt: bool = False
    error: str | None = None
    spent: int = 0
    has_failed: bool = False

    @property
    def is_under_way(self) -> bool:
        """Whether an attempt has been sent and nothing has come of it yet."""
        return self.retry_at is None and not self.has_failed


class Compensation(_Kept):
    """A command that undoes a step, as it was made when the step was entered.

    Attributes:
        sending: the command and, once its turn has come, its attempts.
        description: for people.
        undoes: the numbers of the step's commands that may have had an effect. None where it
            does not depend on any.
        has_begun: whether it has been sent.
    """

    sending: Sending
    description: str = ""
    undoes: list[int] | None = None
    has_begun: bool = False


class KeptEvent(_Kept):
    """An event that came before its time and is handled when that has come.

    Attributes:
        event_id: its id.
        event: the event.
    """

    event_id: str
    event: StoredMessage


class SagaRecord(_Kept):
    """All that an event-driven saga remembers.

    Attributes:
        state: the user's state, as plain data.
        entered: the named steps entered, in order.
        sent: how many messages it has sent.
        commands: those that are not done.
        compensations: what undoes it, the latest step last.
        kept: events that came before their time, in the order they came.
        is_completing: whether it is complete once its commands are done.
        is_undoing: whether the compensations have begun.
        deadline: when the step or the suspension has lasted too long.
        waits_for: why it is suspended.
    """

    state: Any = None
    entered: list[str] = Field(default_factory=list[str])
    sent: int = 0
    commands: list[Sending] = Field(default_factory=list[Sending])
    compensations: list[Compensation] = Field(default_factory=list[Compensation])
    kept: list[KeptEvent] = Field(default_factory=list[KeptEvent])
    is_completing: bool = False
    is_undoing: bool = False
    deadline: datetime | None = None
    waits_for: str | None = None

    @classmethod
    def of(cls, saga: SagaInstance) -> Self:
        """Return what a stored saga remembers; nothing for a new one."""
        return cls() if saga.data == b"null" else cls.model_validate_json(saga.data)

    def under_way(self) -> list[Sending]:
        """Return all that has been sent and is not done."""
        return [*self.commands, *(each.sending for each in self.compensations if each.has_begun)]

    def times(self) -> list[datetime]:
        """Return when something is due, whatever it is."""
        waiting = [each.retry_at for each in self.under_way()]
        return [each for each in (*waiting, self.deadline) if each is not None]
