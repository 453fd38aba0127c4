"""What every adapter promises, as tests: subclass a suite, provide its fixtures, done.

Needs pytest, and pytest-asyncio in auto mode.

    class TestMyLocks(LockStrategyConformance):
        @pytest.fixture
        def locks(self) -> MyLocks:
            return MyLocks()
"""

import pytest

_MODULES = (
    "cache_service",
    "circuit_breaker",
    "concurrent_unit_of_work",
    "event_store",
    "idempotency_store",
    "inbox_storage",
    "lock_strategy",
    "message_codec",
    "outbox_relay",
    "outbox_storage",
    "projection_storage",
    "read_model",
    "repository",
    "search",
    "standalone_repository",
    "steps",
    "tagged_event_store",
    "unit_of_work",
)
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _MODULES))

# imported only now, so that a failed assert of a suite shows its values
# ruff: noqa: E402
from cqrs_ddd_core.testing.conformance.cache_service import CacheServiceConformance
from cqrs_ddd_core.testing.conformance.circuit_breaker import CircuitBreakerConformance
from cqrs_ddd_core.testing.conformance.concurrent_unit_of_work import (
    ConcurrentUnitOfWorkConformance,
)
from cqrs_ddd_core.testing.conformance.event_store import EventStoreConformance
from cqrs_ddd_core.testing.conformance.idempotency_store import IdempotencyStoreConformance
from cqrs_ddd_core.testing.conformance.inbox_storage import InboxStorageConformance
from cqrs_ddd_core.testing.conformance.lock_strategy import LockStrategyConformance
from cqrs_ddd_core.testing.conformance.message_codec import MessageCodecConformance
from cqrs_ddd_core.testing.conformance.outbox_relay import OutboxRelayStorageConformance
from cqrs_ddd_core.testing.conformance.outbox_storage import OutboxStorageConformance
from cqrs_ddd_core.testing.conformance.projection_storage import ProjectionStorageConformance
from cqrs_ddd_core.testing.conformance.read_model import ReadModelConformance
from cqrs_ddd_core.testing.conformance.repository import RepositoryConformance
from cqrs_ddd_core.testing.conformance.search import SearchConformance
from cqrs_ddd_core.testing.conformance.standalone_repository import (
    StandaloneRepositoryConformance,
)
from cqrs_ddd_core.testing.conformance.tagged_event_store import TaggedEventStoreConformance
from cqrs_ddd_core.testing.conformance.unit_of_work import UnitOfWorkConformance

__all__ = [
    "CacheServiceConformance",
    "CircuitBreakerConformance",
    "ConcurrentUnitOfWorkConformance",
    "EventStoreConformance",
    "IdempotencyStoreConformance",
    "InboxStorageConformance",
    "LockStrategyConformance",
    "MessageCodecConformance",
    "OutboxRelayStorageConformance",
    "OutboxStorageConformance",
    "ProjectionStorageConformance",
    "ReadModelConformance",
    "RepositoryConformance",
    "SearchConformance",
    "StandaloneRepositoryConformance",
    "TaggedEventStoreConformance",
    "UnitOfWorkConformance",
]
