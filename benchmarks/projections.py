"""Catching up with the feed on PostgreSQL: typed events read, and projected, beside asyncpg."""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from importlib import import_module
from itertools import count
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter
from sqlalchemy import BigInteger, Column, MetaData, Table, text

from benchmarks.harness import Pair, case
from cqrs_ddd_core import DomainEvent, EventTypeRegistry, StoredEvent, StreamAppend, StreamId
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyProjectionStorage,
    SQLAlchemyReadModel,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
    drop_schema,
)
from cqrs_ddd_persistence_sqlalchemy.types import text_type
from cqrs_ddd_projections import (
    Projection,
    ProjectionContext,
    ProjectionHandler,
    ProjectionSettings,
    on,
)

asyncpg: Any = import_module("asyncpg")  # it brings no types
_EVENTS, _CUSTOMERS, _BATCH = 20_000, 500, 1000
_URL = os.environ.get("CQRS_TEST_POSTGRES_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/test")
_TOTALS = Table(
    "bench_feed_totals",
    MetaData(),
    Column("customer", text_type(key=True), primary_key=True),
    Column("orders", BigInteger(), nullable=False, default=0),
    Column("total", BigInteger(), nullable=False, default=0),
)
_names = count(1)
_READ = """
SELECT f.position + e.place, e.event_type, e.payload, e.aggregate_id FROM bench_feed_feed f
JOIN bench_feed e ON e.append_id = f.append_id
WHERE f.position >= (SELECT max(position) FROM bench_feed_feed WHERE position <= $1)
AND f.position <= $2 AND f.position + e.place >= $1 AND f.position + e.place <= $2
ORDER BY f.position, e.place
"""
_UPSERT = """
INSERT INTO bench_feed_hand AS t (customer, orders, total) VALUES ($1, $2, $3)
ON CONFLICT (customer) DO UPDATE SET orders = t.orders + excluded.orders,
total = t.total + excluded.total
"""


class BenchPlaced(DomainEvent):
    """An order was placed."""

    customer: str
    amount: int


class _Totals(ProjectionHandler):
    @on(BenchPlaced)
    async def placed(self, event: BenchPlaced, at: ProjectionContext) -> None:
        await at.write.add(
            "bench_feed_totals", event.customer, {"orders": 1, "total": event.amount}
        )


class _Bench:
    """A feed of orders, and both ways to go through it."""

    def __init__(self) -> None:
        self.engine = create_engine(_URL)
        factory = self.factory = create_session_factory(self.engine)
        self.store = SQLAlchemyEventStore(factory, table="bench_feed")
        self.storage = SQLAlchemyProjectionStorage(factory, table="bench_feed_projections")
        self.read_model = SQLAlchemyReadModel(factory, _TOTALS)
        self.types = EventTypeRegistry()
        self.types.add(BenchPlaced)
        self.hand: Any = None

    async def open(self) -> None:
        await self.clear()
        await create_schema(self.engine, self.store, self.storage)
        url = self.engine.url
        self.hand = await asyncpg.connect(
            host=url.host,
            port=url.port,
            user=url.username,
            password=url.password,
            database=url.database,
        )
        await self.hand.execute(
            "CREATE TABLE bench_feed_hand (customer varchar(255) PRIMARY KEY, "
            "orders bigint NOT NULL, total bigint NOT NULL)"
        )
        await self.hand.execute("CREATE TABLE bench_feed_checkpoint (position bigint NOT NULL)")
        await self.hand.execute("INSERT INTO bench_feed_checkpoint VALUES (0)")
        adapter = TypeAdapter(BenchPlaced)
        for start in range(0, _EVENTS, _BATCH):
            await self.store.append_many([self._order(adapter, n + start) for n in range(_BATCH)])
        assert await self.store.latest_position() == _EVENTS
        await self.hand.execute("ANALYZE")

    def _order(self, adapter: TypeAdapter[BenchPlaced], number: int) -> StreamAppend:
        customer = f"customer-{number % _CUSTOMERS}"
        stream = StreamId("Customer", customer)
        placed = BenchPlaced(customer=customer, amount=number)
        stored = StoredEvent(
            event_id=str(uuid4()),
            event_type="BenchPlaced",
            stream=stream,
            payload=adapter.dump_json(placed),
            occurred_at=datetime.now(UTC),
        )
        return StreamAppend(stream, [stored])

    async def clear(self) -> None:
        async with self.engine.begin() as connection:
            for statement in (
                "DROP VIEW IF EXISTS bench_feed_totals",
                "DROP TABLE IF EXISTS bench_feed_hand, bench_feed_checkpoint, bench_feed_totals_v1",
            ):
                await connection.execute(text(statement))
        await drop_schema(self.engine, self.store, self.storage)

    async def close(self) -> None:
        await self.hand.close()
        await self.clear()
        await self.engine.dispose()

    async def read(self) -> int:
        """Read the feed as typed events."""
        position, read, hydrate = 0, 0, self.types.hydrate
        while True:
            page = await self.store.read_feed(after_position=position, limit=_BATCH)
            if page.position == position:
                return read
            read += len([hydrate(event.event_type, event.payload) for event in page.events])
            position = page.position

    async def read_by_hand(self) -> int:
        decode, position, read = TypeAdapter(BenchPlaced).validate_json, 0, 0
        while True:
            rows = await self.hand.fetch(_READ, position + 1, position + _BATCH)
            if not rows:
                return read
            read += len([decode(row[2]) for row in rows])
            position = rows[-1][0]

    async def project(self) -> int:
        """Catch up with the feed by a new projection."""
        projection = Projection(
            _Totals(f"bench-{next(_names)}"),
            event_store=self.store,
            storage=self.storage,
            read_model=self.read_model,
            uow_factory=lambda: SQLAlchemyUnitOfWork(self.factory),
            settings=ProjectionSettings(batch_size=_BATCH),
        )
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(projection.worker().run(stopping))
            await projection.wait_for(_EVENTS)
            stopping.set()
        return _EVENTS

    async def project_by_hand(self) -> int:
        decode, position = TypeAdapter(BenchPlaced).validate_json, 0
        await self.hand.execute("UPDATE bench_feed_checkpoint SET position = 0")
        while True:
            rows = await self.hand.fetch(_READ, position + 1, position + _BATCH)
            if not rows:
                return _EVENTS
            totals: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
            for row in rows:
                event = decode(row[2])
                row_of = totals[event.customer]
                row_of[0] += 1
                row_of[1] += event.amount
            async with self.hand.transaction():
                await self.hand.execute(
                    "UPDATE bench_feed_checkpoint SET position = $2 WHERE position = $1",
                    position,
                    rows[-1][0],
                )
                await self.hand.executemany(
                    _UPSERT, [(customer, *figures) for customer, figures in sorted(totals.items())]
                )
            position = rows[-1][0]


@case("projections", "projections.typed_catch_up", unit="events/s", better="higher", rounds=5)
async def typed_catch_up() -> AsyncGenerator[Pair]:
    bench = _Bench()
    await bench.open()
    yield Pair(bench.read, bench.read_by_hand)
    await bench.close()


@case("projections", "projections.into_postgresql", unit="events/s", better="higher", rounds=5)
async def into_postgresql() -> AsyncGenerator[Pair]:
    bench = _Bench()
    await bench.open()
    yield Pair(bench.project, bench.project_by_hand)
    await bench.close()
