"""Sagas: work that spans several transactions, and is undone where it cannot be finished."""

from cqrs_ddd_advanced_core.sagas.errors import (
    IllegalSagaTransitionError,
    SagaConfigurationError,
    SagaError,
    SagaExistsError,
    SagaLeaseLostError,
    SagaNotFoundError,
)
from cqrs_ddd_advanced_core.sagas.instance import (
    JournalEntry,
    SagaAction,
    SagaInstance,
    SagaKind,
    SagaOutcome,
    SagaStatus,
)
from cqrs_ddd_advanced_core.sagas.repository import ISagaRepository, SagaFilter

__all__ = [
    "ISagaRepository",
    "IllegalSagaTransitionError",
    "JournalEntry",
    "SagaAction",
    "SagaConfigurationError",
    "SagaError",
    "SagaExistsError",
    "SagaFilter",
    "SagaInstance",
    "SagaKind",
    "SagaLeaseLostError",
    "SagaNotFoundError",
    "SagaOutcome",
    "SagaStatus",
]
