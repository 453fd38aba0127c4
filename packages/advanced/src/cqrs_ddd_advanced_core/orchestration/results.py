"""What whoever runs a saga is told."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from cqrs_ddd_advanced_core.orchestration.errors import SagaFailedError
from cqrs_ddd_advanced_core.sagas.instance import SagaAction, SagaOutcome, SagaStatus

C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """How one step has ended.

    Attributes:
        saga_id: the saga.
        step: the step's name.
        action: what was done.
        outcome: COMPLETED or FAILED, for good.
        attempts: how many attempts it took.
        result: what it returned, unless that was a context; None when it was done by an earlier
            run.
        error: what it failed with.
        status: where the saga stands behind it.
    """

    saga_id: str
    step: str
    action: SagaAction
    outcome: SagaOutcome
    attempts: int
    result: Any = None
    error: Exception | None = None
    status: SagaStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaResult(Generic[C]):
    """How far a saga has come when a run of it ends.

    Attributes:
        saga_id: the saga.
        status: where it stands. RUNNING or COMPENSATING when it waits for another attempt, which
            a recovery worker makes.
        context: what its steps have made of the context.
        error: what it failed with.
        wake_at: when it goes on, if it waits.
    """

    saga_id: str
    status: SagaStatus
    context: C
    error: str | None
    wake_at: datetime | None

    def require_completed(self) -> C:
        """Return the context of a saga that was completed.

        Raises:
            SagaFailedError: it was not, or not yet.
        """
        if self.status is not SagaStatus.COMPLETED:
            raise SagaFailedError(self.saga_id, self.status.value, self.error)
        return self.context
