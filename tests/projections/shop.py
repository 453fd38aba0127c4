"""Orders counted by customer, with a side effect for each, in whatever process."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import BigInteger, Column, MetaData, Table, insert

from cqrs_ddd_core import DomainEvent, JsonMessageCodec, StoredEvent, StreamAppend, StreamId
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyProjectionStorage,
    SQLAlchemyReadModel,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
)
from cqrs_ddd_persistence_sqlalchemy.types import text_type
from cqrs_ddd_projections import (
    Projection,
    ProjectionContext,
    ProjectionHandler,
    ProjectionSettings,
    on,
)

NAME, PARTITIONS = "customers", 4
CUSTOMERS = Table(
    "customers",
    MetaData(),
    Column("id", text_type(key=True), primary_key=True),
    Column("orders", BigInteger(), nullable=False, default=0),
    Column("total", BigInteger(), nullable=False, default=0),
)
# What a side effect in the transaction leaves behind; a second one for an event is refused.
EFFECTS = Table(
    "effects",
    MetaData(),
    Column("position", BigInteger(), primary_key=True, autoincrement=False),
)
SETTINGS = ProjectionSettings(batch_size=20, lease=1.0, min_poll=0.01, max_poll=0.1, refresh=0.05)


class OrderPlaced(DomainEvent):
    """A customer has ordered."""

    amount: int


class Customers(ProjectionHandler):
    """Counts and adds up orders."""

    name = NAME
    partitions = PARTITIONS

    @on(OrderPlaced)
    async def placed(self, event: OrderPlaced, at: ProjectionContext) -> None:
        customer = at.stored.stream.aggregate_id
        await at.write.add("customers", customer, {"orders": 1, "total": event.amount})
        if at.effects_on:
            await at.uow.execute(insert(EFFECTS).values(position=at.stored.position))


@dataclass
class Shop:
    """The stores on one database."""

    engine: Any
    event_store: SQLAlchemyEventStore
    storage: SQLAlchemyProjectionStorage
    projection: Projection


async def open_shop(
    url: str,
    storage_class: type[SQLAlchemyProjectionStorage] = SQLAlchemyProjectionStorage,
    read_model_class: type[SQLAlchemyReadModel] = SQLAlchemyReadModel,
) -> Shop:
    """Return the shop on the database at ``url``."""
    engine = create_engine(url)
    factory = create_session_factory(engine)
    event_store, storage = SQLAlchemyEventStore(factory), storage_class(factory)
    await create_schema(engine, event_store, storage, EFFECTS)
    projection = Projection(
        Customers(),
        event_store=event_store,
        storage=storage,
        read_model=read_model_class(factory, CUSTOMERS),
        uow_factory=lambda: SQLAlchemyUnitOfWork(factory),
        settings=SETTINGS,
    )
    return Shop(engine, event_store, storage, projection)


async def append(shop: Shop, orders: Sequence[tuple[str, int]]) -> None:
    """Append an order each: customer and amount; a hundred in a transaction."""
    codec = JsonMessageCodec()
    for start in range(0, len(orders), 100):
        await shop.event_store.append_many(
            [
                StreamAppend(
                    StreamId("Customer", customer),
                    [
                        StoredEvent(
                            event_id=str(uuid4()),
                            event_type="OrderPlaced",
                            stream=StreamId("Customer", customer),
                            payload=codec.encode(OrderPlaced(amount=amount)),
                            occurred_at=datetime.now(UTC),
                        )
                    ],
                )
                for customer, amount in orders[start : start + 100]
            ]
        )
