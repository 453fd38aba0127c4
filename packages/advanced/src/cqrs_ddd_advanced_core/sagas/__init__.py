"""Sagas: work that spans several transactions, and is undone where it cannot be finished."""

from cqrs_ddd_advanced_core.sagas.bootstrap import bootstrap_sagas
from cqrs_ddd_advanced_core.sagas.builder import SagaBuilder
from cqrs_ddd_advanced_core.sagas.definition import Reaction, SagaDefinition
from cqrs_ddd_advanced_core.sagas.errors import (
    IllegalSagaTransitionError,
    SagaConfigurationError,
    SagaCorrelationError,
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
from cqrs_ddd_advanced_core.sagas.manager import SagaManager
from cqrs_ddd_advanced_core.sagas.memory import InMemorySagaRepository
from cqrs_ddd_advanced_core.sagas.move import SAGA_COMMAND
from cqrs_ddd_advanced_core.sagas.operations import SagaOperations
from cqrs_ddd_advanced_core.sagas.publisher import SagaCommandPublisher
from cqrs_ddd_advanced_core.sagas.repository import ISagaRepository, SagaFilter
from cqrs_ddd_advanced_core.sagas.runner import ISagaRunner
from cqrs_ddd_advanced_core.sagas.saga import Saga, on_event
from cqrs_ddd_advanced_core.sagas.state import PendingCommand, SagaState
from cqrs_ddd_advanced_core.sagas.worker import SagaRecoveryWorker

__all__ = [
    "SAGA_COMMAND",
    "ISagaRepository",
    "ISagaRunner",
    "IllegalSagaTransitionError",
    "InMemorySagaRepository",
    "JournalEntry",
    "PendingCommand",
    "Reaction",
    "Saga",
    "SagaAction",
    "SagaBuilder",
    "SagaCommandPublisher",
    "SagaConfigurationError",
    "SagaCorrelationError",
    "SagaDefinition",
    "SagaError",
    "SagaExistsError",
    "SagaFilter",
    "SagaInstance",
    "SagaKind",
    "SagaLeaseLostError",
    "SagaManager",
    "SagaNotFoundError",
    "SagaOperations",
    "SagaOutcome",
    "SagaRecoveryWorker",
    "SagaState",
    "SagaStatus",
    "bootstrap_sagas",
    "on_event",
]
