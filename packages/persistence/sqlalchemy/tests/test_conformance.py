"""SQLite, PostgreSQL and MariaDB keep the promises of the ports."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, select

from cqrs_ddd_advanced_core.testing import (
    BackgroundJobRepositoryConformance,
    SagaRepositoryConformance,
    SnapshotStoreConformance,
    UndoTokenRepositoryConformance,
)
from cqrs_ddd_core import repository
from cqrs_ddd_core.testing.conformance import (
    ConcurrentUnitOfWorkConformance,
    EventStoreConformance,
    IdempotencyStoreConformance,
    InboxStorageConformance,
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
from cqrs_ddd_persistence_sqlalchemy import (
    ExactDecimal,
    SQLAlchemyBackgroundJobRepository,
    SQLAlchemyEventStore,
    SQLAlchemyIdempotencyStore,
    SQLAlchemyInboxStorage,
    SQLAlchemyOutboxStorage,
    SQLAlchemyProjectionStorage,
    SQLAlchemyReadModel,
    SQLAlchemyRepository,
    SQLAlchemySagaRepository,
    SQLAlchemySnapshotStore,
    SQLAlchemyUndoTokenRepository,
    SQLAlchemyUnitOfWork,
    create_schema,
    document_table,
)
from cqrs_ddd_persistence_sqlalchemy.types import text_type

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


@pytest.mark.parametrize(
    "sql", ["sqlite_url", "postgres_url", "postgres_psycopg_url"], indirect=True
)
class TestSQLAlchemyTaggedEventStore(TaggedEventStoreConformance):
    @pytest.fixture
    async def event_store(self, sql: Sql) -> SQLAlchemyEventStore:
        event_store = SQLAlchemyEventStore(session_factory=sql.session_factory)
        await create_schema(sql.engine, event_store)
        return event_store


class TestSQLAlchemyBackgroundJobRepository(BackgroundJobRepositoryConformance):
    @pytest.fixture
    async def jobs(self, sql: Sql) -> SQLAlchemyBackgroundJobRepository:
        jobs = SQLAlchemyBackgroundJobRepository(sql.session_factory)
        await create_schema(sql.engine, jobs)
        return jobs


class TestSQLAlchemySagaRepository(SagaRepositoryConformance):
    @pytest.fixture
    async def sagas(self, sql: Sql) -> SQLAlchemySagaRepository:
        sagas = SQLAlchemySagaRepository(sql.session_factory)
        await create_schema(sql.engine, sagas)
        return sagas


class TestSQLAlchemyUndoTokenRepository(UndoTokenRepositoryConformance):
    @pytest.fixture
    async def tokens(self, sql: Sql) -> SQLAlchemyUndoTokenRepository:
        tokens = SQLAlchemyUndoTokenRepository(sql.session_factory)
        await create_schema(sql.engine, tokens)
        return tokens


class TestSQLAlchemyProjectionStorage(ProjectionStorageConformance):
    @pytest.fixture
    async def projections(self, sql: Sql) -> SQLAlchemyProjectionStorage:
        storage = SQLAlchemyProjectionStorage(sql.session_factory)
        await create_schema(sql.engine, storage)
        return storage


TOTALS = Table(
    "totals",
    MetaData(),
    Column("id", text_type(key=True), primary_key=True),
    Column("name", Text()),
    Column("orders", BigInteger(), nullable=False, default=0),
    Column("amount", BigInteger(), nullable=False, default=0),
    Index("totals_by_orders", "orders"),
)
SPENDING = Table(
    "spending",
    MetaData(),
    Column("id", text_type(key=True), primary_key=True),
    Column("spent", ExactDecimal()),
)
PROFILES = document_table("profiles")


class TestSQLAlchemySnapshotStore(SnapshotStoreConformance):
    @pytest.fixture
    async def snapshots(self, sql: Sql) -> SQLAlchemySnapshotStore:
        store = SQLAlchemySnapshotStore(sql.session_factory)
        await create_schema(sql.engine, store)
        return store


class TestSQLAlchemyReadModel(ReadModelConformance):
    @pytest.fixture
    def read_model(self, sql: Sql) -> SQLAlchemyReadModel:
        return SQLAlchemyReadModel(sql.session_factory, TOTALS, SPENDING, PROFILES)

    @pytest.fixture
    def read_live(self, sql: Sql) -> Reader:
        async def read_live(collection: str) -> dict[Any, Mapping[str, Any]]:
            async with sql.engine.connect() as connection:
                if collection == "profiles":
                    documents = await connection.execute(select(PROFILES))
                    return {row.key: row.document for row in documents}
                table = TOTALS if collection == "totals" else SPENDING
                rows = (await connection.execute(select(table))).mappings()
                return {row["id"]: {k: v for k, v in row.items() if k != "id"} for row in rows}

        return read_live
