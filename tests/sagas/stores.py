"""The stores that sagas are tested on."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cqrs_ddd_core import repository
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyInboxStorage,
    SQLAlchemyOutboxStorage,
    SQLAlchemySagaRepository,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
)
from tests.sagas.orders import Ledger
from tests.sagas.world import Store

URLS = ["sqlite_url", "postgres_url", "mariadb_url"]


class SqlUnitOfWork(SQLAlchemyUnitOfWork):
    ledgers = repository(Ledger, table="ledgers")


@asynccontextmanager
async def sql_store(
    url: str,
    outbox_class: type[SQLAlchemyOutboxStorage] = SQLAlchemyOutboxStorage,
    saga_class: type[SQLAlchemySagaRepository] = SQLAlchemySagaRepository,
) -> AsyncGenerator[Store]:
    """Yield the store on the database at ``url``, with its tables."""
    engine = create_engine(url)
    try:
        session_factory = create_session_factory(engine)
        outbox, inbox = outbox_class(session_factory), SQLAlchemyInboxStorage(session_factory)
        sagas = saga_class(session_factory)
        await create_schema(engine, SqlUnitOfWork, outbox, inbox, sagas)
        yield Store(lambda: SqlUnitOfWork(session_factory), outbox, inbox, sagas)
    finally:
        await engine.dispose()
