"""SQLite, PostgreSQL and MariaDB keep the promises of the ports."""

from collections.abc import Callable

import pytest

from cqrs_ddd_core import repository
from cqrs_ddd_core.testing.conformance import (
    ConcurrentUnitOfWorkConformance,
    EventStoreConformance,
    IdempotencyStoreConformance,
    InboxStorageConformance,
    OutboxRelayStorageConformance,
    OutboxStorageConformance,
    RepositoryConformance,
    SearchConformance,
    StandaloneRepositoryConformance,
    UnitOfWorkConformance,
)
from cqrs_ddd_core.testing.conformance.samples import Order
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyIdempotencyStore,
    SQLAlchemyInboxStorage,
    SQLAlchemyOutboxStorage,
    SQLAlchemyRepository,
    SQLAlchemyUnitOfWork,
    create_schema,
)

from .conftest import Sql


class SampleUnitOfWork(SQLAlchemyUnitOfWork):
    orders = repository(Order, table="orders")


@pytest.fixture
async def uow_factory(sql: Sql) -> Callable[[], SampleUnitOfWork]:
    await create_schema(sql.engine, SampleUnitOfWork)
    return lambda: SampleUnitOfWork(sql.session_factory)


class TestSQLAlchemyUnitOfWork(UnitOfWorkConformance):
    pass


class TestSQLAlchemyUnitOfWorkBesideOthers(ConcurrentUnitOfWorkConformance):
    @pytest.fixture
    async def uow_factory(self, sql_server: Sql) -> Callable[[], SampleUnitOfWork]:
        await create_schema(sql_server.engine, SampleUnitOfWork)
        return lambda: SampleUnitOfWork(sql_server.session_factory)


class TestSQLAlchemyRepositoryOfAUnitOfWork(RepositoryConformance):
    pass


class TestSQLAlchemyRepository(StandaloneRepositoryConformance):
    @pytest.fixture
    async def orders(self, sql: Sql) -> SQLAlchemyRepository[Order, str]:
        orders = SQLAlchemyRepository[Order, str](Order, sql.session_factory, table="orders")
        await create_schema(sql.engine, orders)
        return orders


class TestSQLAlchemySearch(SearchConformance):
    pass


class TestSQLAlchemyOutboxStorage(OutboxStorageConformance):
    @pytest.fixture
    async def outbox(self, sql: Sql) -> SQLAlchemyOutboxStorage:
        outbox = SQLAlchemyOutboxStorage(sql.session_factory)
        await create_schema(sql.engine, outbox)
        return outbox


class TestSQLAlchemyOutboxStorageForRelays(OutboxRelayStorageConformance):
    @pytest.fixture
    async def outbox(self, sql: Sql) -> SQLAlchemyOutboxStorage:
        outbox = SQLAlchemyOutboxStorage(sql.session_factory)
        await create_schema(sql.engine, outbox)
        return outbox

    @pytest.fixture
    async def archiving_outbox(self, sql: Sql) -> SQLAlchemyOutboxStorage:
        outbox = SQLAlchemyOutboxStorage(sql.session_factory, table="kept", archive=True)
        await create_schema(sql.engine, outbox)
        return outbox


class TestSQLAlchemyInboxStorage(InboxStorageConformance):
    @pytest.fixture
    async def inbox(self, sql: Sql) -> SQLAlchemyInboxStorage:
        inbox = SQLAlchemyInboxStorage(sql.session_factory)
        await create_schema(sql.engine, inbox)
        return inbox


class TestSQLAlchemyIdempotencyStore(IdempotencyStoreConformance):
    @pytest.fixture
    async def idempotency_store(self, sql: Sql) -> SQLAlchemyIdempotencyStore:
        store = SQLAlchemyIdempotencyStore(sql.session_factory)
        await create_schema(sql.engine, store)
        return store


class TestSQLAlchemyEventStore(EventStoreConformance):
    @pytest.fixture
    async def event_store(self, sql: Sql) -> SQLAlchemyEventStore:
        event_store = SQLAlchemyEventStore(session_factory=sql.session_factory)
        await create_schema(sql.engine, event_store)
        return event_store
