"""Where the shop keeps everything, on a SQL database."""

from collections.abc import Mapping

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, select
from sqlalchemy.ext.asyncio import AsyncEngine

from cqrs_ddd_core import repository
from cqrs_ddd_persistence_sqlalchemy import (
    AggregateMapping,
    ExactDecimal,
    SQLAlchemyBackgroundJobRepository,
    SQLAlchemyEventStore,
    SQLAlchemyInboxStorage,
    SQLAlchemyOutboxStorage,
    SQLAlchemyProjectionStorage,
    SQLAlchemyReadModel,
    SQLAlchemySagaRepository,
    SQLAlchemyUnitOfWork,
    create_schema,
    create_session_factory,
    text_type,
)
from order_fulfilment.application import SALES, Figures, ShopRepositories, Stores
from order_fulfilment.domain import Order
from order_fulfilment.infrastructure.event_sourcing import with_event_sourced_cancellations

_ORDERS = AggregateMapping(Order)
Index("orders_by_customer", _ORDERS.table.c.customer_id)
_SALES = Table(
    SALES,
    MetaData(),
    Column("kind", text_type(key=True), primary_key=True),
    Column("name", text_type(key=True), primary_key=True),
    Column("invoices", BigInteger(), nullable=False, default=0),
    Column("lines", BigInteger(), nullable=False, default=0),
    Column("units", BigInteger(), nullable=False, default=0),
    Column("amount", ExactDecimal(), nullable=False, default=0),
    Column("description", Text(), nullable=False, default=""),
)


class ShopUnitOfWork(ShopRepositories, SQLAlchemyUnitOfWork):
    """One transaction of the shop on SQLite, PostgreSQL, MariaDB or MySQL."""

    orders = repository(Order, mapping=_ORDERS)


async def open_stores(engine: AsyncEngine, *, event_sourced: bool = False) -> Stores:
    """Return the stores on a database, whose tables are made if need be.

    Args:
        engine: the database.
        event_sourced: whether cancellations are kept as their events, not as rows.
    """
    session_factory = create_session_factory(engine)
    outbox = SQLAlchemyOutboxStorage(session_factory)
    inbox = SQLAlchemyInboxStorage(session_factory)
    event_store = SQLAlchemyEventStore(session_factory)
    checkpoints = SQLAlchemyProjectionStorage(session_factory)
    sagas = SQLAlchemySagaRepository(session_factory)
    timers = SQLAlchemyBackgroundJobRepository(session_factory, table="timers")
    uow_class = ShopUnitOfWork
    if event_sourced:
        uow_class = with_event_sourced_cancellations(ShopUnitOfWork, event_store)

    async def read_sales() -> Mapping[tuple[str, str], Figures]:
        async with engine.connect() as connection:
            rows = await connection.execute(select(_SALES))
            return {(kind, name): Figures(*figures) for kind, name, *figures in rows}

    parts = (outbox, inbox, event_store, checkpoints, sagas, timers)
    await create_schema(engine, uow_class, *parts)
    return Stores(
        uow_factory=lambda: uow_class(session_factory),
        outbox=outbox,
        inbox=inbox,
        event_store=event_store,
        checkpoints=checkpoints,
        read_model=SQLAlchemyReadModel(session_factory, _SALES),
        read_sales=read_sales,
        sagas=sagas,
        timers=timers,
    )
