"""A small shop whose orders are counted by customer."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, select

from cqrs_ddd_core import (
    DomainEvent,
    InMemoryEventStore,
    InMemoryProjectionStorage,
    InMemoryReadModel,
    InMemoryUnitOfWork,
    JsonMessageCodec,
    RetryPolicy,
    StoredEvent,
    StreamId,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyProjectionStorage,
    SQLAlchemyReadModel,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
    document_table,
)
from cqrs_ddd_persistence_sqlalchemy.types import text_type
from cqrs_ddd_projections import (
    ErrorPolicy,
    Projection,
    ProjectionContext,
    ProjectionHandler,
    ProjectionSettings,
    on,
)

CUSTOMERS = Table(
    "customers",
    MetaData(),
    Column("id", text_type(key=True), primary_key=True),
    Column("orders", BigInteger(), nullable=False, default=0),
    Column("total", BigInteger(), nullable=False, default=0),
)
LAST = document_table("last_orders")
FAST = ProjectionSettings(batch_size=50, lease=30.0, min_poll=0.005, max_poll=0.05, refresh=0.02)
QUICKLY = RetryPolicy(max_attempts=2, base_delay=0.001, max_delay=0.002)


class OrderPlaced(DomainEvent):
    customer: str
    amount: int


class OrderNoted(DomainEvent):
    """Of no interest."""


class CustomersHandler(ProjectionHandler):
    name = "customers"
    errors = ErrorPolicy.stop(QUICKLY)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.poison: set[str] = set()
        self.told: list[int] = []
        self.handled: list[int] = []

    @on(OrderPlaced)
    async def placed(self, event: OrderPlaced, at: ProjectionContext) -> None:
        if at.stored.event_id in self.poison:
            raise ValueError(f"cannot take {at.stored.event_id}")
        self.handled.append(at.stored.position)
        await at.write.add("customers", event.customer, {"orders": 1, "total": event.amount})
        await at.write.put("last_orders", event.customer, {"order": at.stored.event_id})

        async def tell(position: int = at.stored.position) -> None:
            self.told.append(position)

        at.after_commit(tell)


_numbers = count(1)


def placed(customer: str, amount: int = 1, event_id: str | None = None) -> StoredEvent:
    return StoredEvent(
        event_id=event_id or f"e-{next(_numbers)}",
        event_type="OrderPlaced",
        stream=StreamId("Customer", customer),
        payload=JsonMessageCodec().encode(OrderPlaced(customer=customer, amount=amount)),
        occurred_at=datetime.now(UTC),
    )


@dataclass
class Shop:
    """An application's stores, on one kind of database."""

    event_store: Any
    storage: Any
    read_model: Any
    uow_factory: Callable[[], Any]
    read: Callable[[], Awaitable[Mapping[str, tuple[int, int]]]]

    async def append(self, *events: StoredEvent) -> None:
        for event in events:
            await self.event_store.append(event.stream, [event])

    def projection(
        self, handler: ProjectionHandler, settings: ProjectionSettings = FAST
    ) -> Projection:
        return Projection(
            handler,
            event_store=self.event_store,
            storage=self.storage,
            read_model=self.read_model,
            uow_factory=self.uow_factory,
            settings=settings,
        )


def memory_shop() -> Shop:
    read_model = InMemoryReadModel(documents=["last_orders"])

    async def read() -> Mapping[str, tuple[int, int]]:
        rows = read_model.read("customers").items()
        return {key: (row["orders"], row["total"]) for key, row in rows}

    return Shop(
        InMemoryEventStore(),
        InMemoryProjectionStorage(),
        read_model,
        InMemoryUnitOfWork,
        read,
    )


async def sql_shop(url: str, **engine_options: Any) -> tuple[Shop, Any]:
    engine = create_engine(url, **engine_options)
    factory = create_session_factory(engine)
    storage = SQLAlchemyProjectionStorage(factory)
    event_store = SQLAlchemyEventStore(factory)
    await create_schema(engine, storage, event_store)

    async def read() -> Mapping[str, tuple[int, int]]:
        async with engine.connect() as connection:
            rows = await connection.execute(select(CUSTOMERS))
            return {row.id: (row.orders, row.total) for row in rows}

    shop = Shop(
        event_store,
        storage,
        SQLAlchemyReadModel(factory, CUSTOMERS, LAST),
        lambda: SQLAlchemyUnitOfWork(factory),
        read,
    )
    return shop, engine
