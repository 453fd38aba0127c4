"""The adapters in memory keep the promises of their ports."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from cqrs_ddd_core import (
    CircuitOpenError,
    CircuitState,
    ConfigurationError,
    InMemoryCacheService,
    InMemoryCircuitBreaker,
    InMemoryDatabase,
    InMemoryEventStore,
    InMemoryIdempotencyStore,
    InMemoryInboxStorage,
    InMemoryLockStrategy,
    InMemoryOutboxStorage,
    InMemoryProjectionStorage,
    InMemoryReadModel,
    InMemoryRepository,
    InMemoryUnitOfWork,
    JsonMessageCodec,
    LockAcquisitionError,
    ResourceIdentifier,
    repository,
    use_clock,
)
from cqrs_ddd_core.testing import ManualClock
from cqrs_ddd_core.testing.conformance import (
    CacheServiceConformance,
    CircuitBreakerConformance,
    ConcurrentUnitOfWorkConformance,
    EventStoreConformance,
    IdempotencyStoreConformance,
    InboxStorageConformance,
    LockStrategyConformance,
    MessageCodecConformance,
    OutboxRelayStorageConformance,
    OutboxStorageConformance,
    ProjectionStorageConformance,
    ReadModelConformance,
    RepositoryConformance,
    SearchConformance,
    StandaloneRepositoryConformance,
    TaggedEventStoreConformance,
    UnitOfWorkConformance,
)
from cqrs_ddd_core.testing.conformance.read_model import Reader
from cqrs_ddd_core.testing.conformance.samples import Order


class SampleUnitOfWork(InMemoryUnitOfWork):
    orders = repository(Order, table="orders")


@pytest.fixture
def uow_factory() -> Callable[[], SampleUnitOfWork]:
    database = InMemoryDatabase()
    return lambda: SampleUnitOfWork(database)


class TestInMemoryUnitOfWork(UnitOfWorkConformance):
    pass


class TestInMemoryUnitOfWorkBesideOthers(ConcurrentUnitOfWorkConformance):
    pass


class TestInMemoryRepositoryOfAUnitOfWork(RepositoryConformance):
    pass


class TestInMemoryRepository(StandaloneRepositoryConformance):
    @pytest.fixture
    def orders(self) -> InMemoryRepository[Order, str]:
        return InMemoryRepository[Order, str]()


class TestInMemorySearch(SearchConformance):
    pass


class TestInMemoryOutboxStorage(OutboxStorageConformance):
    @pytest.fixture
    def outbox(self) -> InMemoryOutboxStorage:
        return InMemoryOutboxStorage()


class TestInMemoryOutboxStorageForRelays(OutboxRelayStorageConformance):
    @pytest.fixture
    def outbox(self) -> InMemoryOutboxStorage:
        return InMemoryOutboxStorage()

    @pytest.fixture
    def archiving_outbox(self) -> InMemoryOutboxStorage:
        return InMemoryOutboxStorage(archive=True)


class TestInMemoryInboxStorage(InboxStorageConformance):
    @pytest.fixture
    def inbox(self) -> InMemoryInboxStorage:
        return InMemoryInboxStorage()


class TestInMemoryEventStore(EventStoreConformance):
    @pytest.fixture
    def event_store(self) -> InMemoryEventStore:
        return InMemoryEventStore()


class TestInMemoryTaggedEventStore(TaggedEventStoreConformance):
    @pytest.fixture
    def event_store(self) -> InMemoryEventStore:
        return InMemoryEventStore()


class TestInMemoryIdempotencyStore(IdempotencyStoreConformance):
    @pytest.fixture
    def idempotency_store(self) -> InMemoryIdempotencyStore:
        return InMemoryIdempotencyStore()


class TestInMemoryLockStrategy(LockStrategyConformance):
    @pytest.fixture
    def locks(self) -> InMemoryLockStrategy:
        return InMemoryLockStrategy()

    async def test_leases_end_by_the_clock_in_force(self, locks: InMemoryLockStrategy) -> None:
        order = ResourceIdentifier("Order", "o-1")
        clock = ManualClock()
        with use_clock(clock):
            first = await locks.acquire(order, ttl=30)
            clock.advance(20)
            assert await first.renew(30)
            clock.advance(29)
            with pytest.raises(LockAcquisitionError):
                await locks.acquire(order, timeout=0)
            clock.advance(1)
            second = await locks.acquire(order, timeout=0)
            assert second.fencing_token > first.fencing_token
            assert not await first.renew(30)


class TestInMemoryCacheService(CacheServiceConformance):
    @pytest.fixture
    def cache(self) -> InMemoryCacheService:
        return InMemoryCacheService()

    async def test_values_end_by_the_clock_in_force(self, cache: InMemoryCacheService) -> None:
        clock = ManualClock()
        with use_clock(clock):
            await cache.set("k", "value", ttl=30)
            clock.advance(29)
            assert await cache.get("k") == "value"
            clock.advance(1)
            assert await cache.get("k") is None


class TestJsonMessageCodec(MessageCodecConformance):
    @pytest.fixture
    def codec(self) -> JsonMessageCodec:
        return JsonMessageCodec()


class TestInMemoryProjectionStorage(ProjectionStorageConformance):
    @pytest.fixture
    def projections(self) -> InMemoryProjectionStorage:
        return InMemoryProjectionStorage()


class TestInMemoryReadModel(ReadModelConformance):
    @pytest.fixture
    def read_model(self) -> InMemoryReadModel:
        return InMemoryReadModel(documents=["profiles"])

    @pytest.fixture
    def read_live(self, read_model: InMemoryReadModel) -> Reader:
        async def read_live(collection: str) -> dict[Any, Mapping[str, Any]]:
            empty = {"name": None, "orders": 0, "amount": 0} if collection == "totals" else {}
            return {key: {**empty, **row} for key, row in read_model.read(collection).items()}

        return read_live


class TestInMemoryCircuitBreaker(CircuitBreakerConformance):
    @pytest.fixture
    def breaker(self) -> Iterator[InMemoryCircuitBreaker]:
        self.clock = ManualClock()
        with use_clock(self.clock):
            yield InMemoryCircuitBreaker(failure_threshold=3, recovery_time=30)

    async def let_it_recover(self) -> None:
        self.clock.advance(30)

    async def test_it_stays_open_for_its_recovery_time(
        self, breaker: InMemoryCircuitBreaker
    ) -> None:
        for _ in range(3):
            await breaker.leave(await breaker.enter("c"), failed=True)
        self.clock.advance(29)
        assert await breaker.state_of("c") is CircuitState.OPEN
        self.clock.advance(1)
        assert await breaker.state_of("c") is CircuitState.HALF_OPEN

    async def test_as_many_probe_it_as_may(self) -> None:
        breaker = InMemoryCircuitBreaker(failure_threshold=1, recovery_time=30, probes=2)
        with use_clock(ManualClock()) as clock:
            await breaker.leave(await breaker.enter("c"), failed=True)
            clock.advance(30)
            for _ in range(2):
                assert (await breaker.enter("c")).is_probe
            with pytest.raises(CircuitOpenError):
                await breaker.enter("c")

    @pytest.mark.parametrize("wrong", ["failure_threshold", "recovery_time", "probes"])
    def test_what_cannot_work_is_refused(self, wrong: str) -> None:
        options: dict[str, Any] = {wrong: 0}
        with pytest.raises(ConfigurationError):
            InMemoryCircuitBreaker(**options)
