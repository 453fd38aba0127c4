"""In-memory adapters of the ports: for unit tests, with the promises of the real ones."""

from cqrs_ddd_core.adapters.memory.cache import InMemoryCacheService
from cqrs_ddd_core.adapters.memory.circuit_breaker import InMemoryCircuitBreaker
from cqrs_ddd_core.adapters.memory.database import InMemoryDatabase
from cqrs_ddd_core.adapters.memory.event_store import InMemoryEventStore
from cqrs_ddd_core.adapters.memory.idempotency import InMemoryIdempotencyStore
from cqrs_ddd_core.adapters.memory.inbox import InMemoryInboxStorage
from cqrs_ddd_core.adapters.memory.locks import InMemoryLockStrategy
from cqrs_ddd_core.adapters.memory.outbox import InMemoryOutboxStorage
from cqrs_ddd_core.adapters.memory.projections import InMemoryProjectionStorage
from cqrs_ddd_core.adapters.memory.read_model import InMemoryReadModel
from cqrs_ddd_core.adapters.memory.repository import InMemoryRepository
from cqrs_ddd_core.adapters.memory.unit_of_work import InMemoryUnitOfWork

__all__ = [
    "InMemoryCacheService",
    "InMemoryCircuitBreaker",
    "InMemoryDatabase",
    "InMemoryEventStore",
    "InMemoryIdempotencyStore",
    "InMemoryInboxStorage",
    "InMemoryLockStrategy",
    "InMemoryOutboxStorage",
    "InMemoryProjectionStorage",
    "InMemoryReadModel",
    "InMemoryRepository",
    "InMemoryUnitOfWork",
]
