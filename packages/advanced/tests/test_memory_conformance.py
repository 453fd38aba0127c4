"""The stores in memory keep the promises of their ports."""

from collections.abc import Callable

import pytest

from cqrs_ddd_advanced_core.background_jobs import InMemoryBackgroundJobRepository
from cqrs_ddd_advanced_core.sagas import InMemorySagaRepository
from cqrs_ddd_advanced_core.snapshots import InMemorySnapshotStore
from cqrs_ddd_advanced_core.testing import (
    BackgroundJobRepositoryConformance,
    SagaRepositoryConformance,
    SnapshotStoreConformance,
    UndoTokenRepositoryConformance,
)
from cqrs_ddd_advanced_core.undo import InMemoryUndoTokenRepository
from cqrs_ddd_core import InMemoryDatabase, InMemoryUnitOfWork, repository
from cqrs_ddd_core.testing.conformance.samples import Order


class SampleUnitOfWork(InMemoryUnitOfWork):
    orders = repository(Order, table="orders")


@pytest.fixture
def uow_factory() -> Callable[[], SampleUnitOfWork]:
    database = InMemoryDatabase()
    return lambda: SampleUnitOfWork(database)


class TestInMemoryBackgroundJobRepository(BackgroundJobRepositoryConformance):
    @pytest.fixture
    def jobs(self) -> InMemoryBackgroundJobRepository:
        return InMemoryBackgroundJobRepository()


class TestInMemoryUndoTokenRepository(UndoTokenRepositoryConformance):
    @pytest.fixture
    def tokens(self) -> InMemoryUndoTokenRepository:
        return InMemoryUndoTokenRepository()


class TestInMemorySagaRepository(SagaRepositoryConformance):
    @pytest.fixture
    def sagas(self) -> InMemorySagaRepository:
        return InMemorySagaRepository()


class TestInMemorySnapshotStore(SnapshotStoreConformance):
    @pytest.fixture
    def snapshots(self) -> InMemorySnapshotStore:
        return InMemorySnapshotStore()
