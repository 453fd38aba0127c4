"""An event-driven saga as people and programs look at it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cqrs_ddd_advanced_core.sagas.definition import SagaDefinition
from cqrs_ddd_advanced_core.sagas.instance import SagaInstance, SagaStatus
from cqrs_ddd_advanced_core.sagas.record import SagaRecord, Sending


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCommand:
    """A command of a saga's that is not done.

    Attributes:
        command_id: its id, the same for every attempt.
        name: the stored name of its class.
        step: the step that sent it.
        attempt: which attempt is the current one, or was the last.
        retry_at: when the next attempt is due; None while one is under way or none is to come.
        has_failed: whether no further attempt follows by itself.
        error: what the last attempt failed with.
    """

    command_id: str
    name: str
    step: str
    attempt: int
    retry_at: datetime | None
    has_failed: bool
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaState:
    """Where a saga stands.

    Attributes:
        state: the user's state.
        step: the step it is in.
        steps: the named steps that it has entered, in order.
        commands: those that are not done.
        compensations: what is to be undone, in the order in which that happens.
        kept_events: the types of the events that came before their time.
        waits_for: why it is suspended.
        is_completing: whether it is complete once its commands are done.
        error: what went wrong last.
        wake_at: when something is due: an attempt, a timeout.
    """

    saga_id: str
    saga_type: str
    key: str | None
    correlation_id: str | None
    tenant_id: str | None
    status: SagaStatus
    state: Any
    step: str | None
    steps: Sequence[str]
    commands: Sequence[PendingCommand]
    compensations: Sequence[PendingCommand]
    kept_events: Sequence[str]
    waits_for: str | None
    is_completing: bool
    error: str | None
    wake_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


def state_of(saga: SagaInstance, definition: SagaDefinition) -> SagaState:
    """Return where a stored saga stands."""
    record = SagaRecord.of(saga)
    return SagaState(
        saga_id=saga.saga_id,
        saga_type=saga.saga_type,
        key=saga.key,
        correlation_id=saga.correlation_id,
        tenant_id=saga.tenant_id,
        status=saga.status,
        state=definition.load_state(record.state),
        step=saga.step,
        steps=tuple(record.entered),
        commands=[_pending(saga, each) for each in record.commands],
        compensations=[_pending(saga, each.sending) for each in reversed(record.compensations)],
        kept_events=[each.event.name for each in record.kept],
        waits_for=record.waits_for if saga.status is SagaStatus.SUSPENDED else None,
        is_completing=record.is_completing,
        error=saga.error,
        wake_at=saga.wake_at,
        version=saga.version,
        created_at=saga.created_at,
        updated_at=saga.updated_at,
        finished_at=saga.finished_at,
    )


def _pending(saga: SagaInstance, sending: Sending) -> PendingCommand:
    return PendingCommand(
        command_id=f"{saga.saga_id}/{sending.number}",
        name=sending.message.name,
        step=sending.step,
        attempt=sending.attempt,
        retry_at=sending.retry_at,
        has_failed=sending.has_failed,
        error=sending.error,
    )
