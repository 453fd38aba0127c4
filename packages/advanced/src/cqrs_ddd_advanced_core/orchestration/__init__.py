"""Sagas that are orchestrated: a list of steps, and the way back."""

from cqrs_ddd_advanced_core.orchestration.call import StepCall, idempotency_key
from cqrs_ddd_advanced_core.orchestration.definition import Orchestration, PlannedSaga
from cqrs_ddd_advanced_core.orchestration.errors import (
    ContextConflictError,
    InsideUnitOfWorkError,
    SagaContextError,
    SagaDeadlineError,
    SagaFailedError,
    StepInterruptedError,
    StepsChangedError,
    StepTimeoutError,
)
from cqrs_ddd_advanced_core.orchestration.plan import StepKind
from cqrs_ddd_advanced_core.orchestration.results import SagaResult, StepResult
from cqrs_ddd_advanced_core.orchestration.runner import OrchestrationRunner
from cqrs_ddd_advanced_core.orchestration.step import (
    Fallback,
    IStepHandler,
    ParallelSteps,
    PivotStep,
    RetriableStep,
    Step,
    StepFunctions,
)

__all__ = [
    "ContextConflictError",
    "Fallback",
    "IStepHandler",
    "InsideUnitOfWorkError",
    "Orchestration",
    "OrchestrationRunner",
    "ParallelSteps",
    "PivotStep",
    "PlannedSaga",
    "RetriableStep",
    "SagaContextError",
    "SagaDeadlineError",
    "SagaFailedError",
    "SagaResult",
    "Step",
    "StepCall",
    "StepFunctions",
    "StepInterruptedError",
    "StepKind",
    "StepResult",
    "StepTimeoutError",
    "StepsChangedError",
    "idempotency_key",
]
