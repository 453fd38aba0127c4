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
from cqrs_ddd_advanced_core.sagas.memory import InMemorySagaRepository
from cqrs_ddd_advanced_core.sagas.operations import SagaOperations
from cqrs_ddd_advanced_core.sagas.repository import ISagaRepository, SagaFilter
from cqrs_ddd_advanced_core.sagas.runner import ISagaRunner
from cqrs_ddd_advanced_core.sagas.worker import SagaRecoveryWorker

__all__ = [
    "ISagaRepository",
    "ISagaRunner",
    "IllegalSagaTransitionError",
    "InMemorySagaRepository",
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
    "SagaOperations",
    "SagaOutcome",
    "SagaRecoveryWorker",
    "SagaStatus",
]
