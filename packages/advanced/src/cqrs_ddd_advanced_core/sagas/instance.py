"""A saga as it is stored: where it stands, and the journal of how it came there."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class SagaKind(StrEnum):
    """How a saga is driven."""

    EVENT_DRIVEN = "event-driven"
    """By events: each one handled may send commands."""
    ORCHESTRATED = "orchestrated"
    """By a list of steps that one task runs through."""
    TCC = "tcc"
    """By reservations that are tried, then all confirmed or all cancelled."""


class SagaStatus(StrEnum):
    """Where a saga is in its life.

    From COMPENSATING on it never goes forward again.
    """

    RUNNING = "running"
    SUSPENDED = "suspended"
    """It waits for somebody: an event that resumes it, or an operator."""
    COMPLETED = "completed"
    COMPENSATING = "compensating"
    """It has passed the point of no return: what was done is being undone."""
    COMPENSATED = "compensated"
    """Everything that was done has been undone."""
    COMPENSATION_FAILED = "compensation_failed"
    """Something could not be undone, however often it was tried: a person has to look at it."""
    FAILED = "failed"
    """It can go no further, and nothing is to be undone: a person has to look at it."""

    @property
    def is_final(self) -> bool:
        """Whether it has come to an end that needs nobody."""
        return self in {SagaStatus.COMPLETED, SagaStatus.COMPENSATED}

    @property
    def needs_a_person(self) -> bool:
        """Whether it goes no further until an operator lets it."""
        return self in {SagaStatus.FAILED, SagaStatus.COMPENSATION_FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaInstance:
    """One saga, as it is stored.

    Attributes:
        saga_id: its id.
        saga_type: the stored name of its definition.
        kind: how it is driven.
        key: what makes it the only one of its type and tenant, also after its end: events find it
            by this. None where nothing but its id is unique.
        correlation_id: the conversation it belongs to.
        tenant_id: whose it is.
        status: where it is in its life.
        version: how often it was saved or claimed, the first save counting; 0 before it is added.
        definition: a fingerprint of the steps it began with; ``""`` where they may change.
        step: what it does now, or did last.
        data: its encoded state.
        entries: how many entries its journal has.
        attempts: how often what it does now was tried.
        error: what went wrong last.
        wake_at: when a worker is to look at it although nothing happened: a deadline, another
            attempt, a recovery. None when only events and people move it.
        worker: who holds it, or held it last.
        epoch: how often it was leased: the fencing token of the latest lease.
        lease_until: until when that lease holds unless it is renewed; None when nobody holds it.
        finished_at: when it came to COMPLETED or COMPENSATED.
    """

    saga_id: str
    saga_type: str
    kind: SagaKind
    key: str | None = None
    correlation_id: str | None = None
    tenant_id: str | None = None
    status: SagaStatus = SagaStatus.RUNNING
    version: int = 0
    definition: str = ""
    step: str | None = None
    data: bytes = b"null"
    entries: int = 0
    attempts: int = 0
    error: str | None = None
    wake_at: datetime | None = None
    worker: str | None = None
    epoch: int = 0
    lease_until: datetime | None = None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None


class SagaAction(StrEnum):
    """What an entry of a saga's journal tells of."""

    EVENT = "event"
    """An event was handled, by a step of an event-driven saga."""
    ACT = "act"
    """A step was done; of an event-driven saga, a command was sent."""
    COMPENSATE = "compensate"
    TRY = "try"
    CONFIRM = "confirm"
    CANCEL = "cancel"
    TIMEOUT = "timeout"
    SUSPEND = "suspend"
    RESUME = "resume"
    OPERATOR = "operator"
    """A person moved it by hand."""


class SagaOutcome(StrEnum):
    """How what an entry tells of has come out."""

    STARTED = "started"
    """It has begun; without a later entry of the same step it is in doubt."""
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One thing that happened to a saga. Entries are added, never changed.

    Attributes:
        number: its place in the saga's journal; the first is 1.
        action: what was done.
        outcome: how it came out.
        step: the step's name.
        attempt: which attempt it was; the first is 1.
        message_id: the event or command it was about; the idempotency key given to the step.
        data: whatever is needed to go on from here, encoded: a result, a command to be sent.
        error: what it failed with, or why a person did it.
        at: when it was written down.
    """

    number: int
    action: SagaAction
    outcome: SagaOutcome
    step: str = ""
    attempt: int = 1
    message_id: str | None = None
    data: bytes | None = None
    error: str | None = None
    at: datetime
