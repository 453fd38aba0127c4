"""The event store on PostgreSQL beside asyncpg by hand: appends, catch-up, rehydration, latency."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from importlib import import_module
from itertools import count
from time import perf_counter
from typing import Any
from uuid import uuid4

from pydantic_core import to_json

from benchmarks.eventsourcing_peer import peer_tills
from benchmarks.harness import Pair, case
from cqrs_ddd_advanced_core import (
    EventReader,
    EventSourcedAggregate,
    EventSourcedRepository,
    EveryNEventsStrategy,
)
from cqrs_ddd_core import (
    DomainEvent,
    EventTypeRegistry,
    FeedSubscription,
    JsonMessageCodec,
    StoredEvent,
    StreamId,
)
from cqrs_ddd_core.middleware.event_store import stored_event
from cqrs_ddd_core.testing import until
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemySnapshotStore,
    create_engine,
    create_schema,
    create_session_factory,
    drop_schema,
)

asyncpg: Any = import_module("asyncpg")  # it brings no types
_URL = os.environ.get("CQRS_TEST_POSTGRES_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/test")
_APPENDS, _FEED, _HISTORY, _RATE = 400, 20_000, 1_000, 500


class Sold(DomainEvent):
    """Something was sold."""

    sku: str
    quantity: int
    price: float


class Till(EventSourcedAggregate[str]):
    """What is in the till."""

    total: float = 0

    def apply_sold(self, event: Sold) -> None:
        """Take the money."""
        self.total += event.quantity * event.price


_codec = JsonMessageCodec()


def _sold(stream: StreamId, number: int) -> list[StoredEvent]:
    made = (
        Sold(
            aggregate_id=stream.aggregate_id, aggregate_type="Till", sku="s-1", quantity=2, price=3
        )
        for _ in range(number)
    )
    return [stored_event(event, _codec) for event in made]


async def _world(connections: int) -> AsyncGenerator[tuple[SQLAlchemyEventStore, Any]]:
    engine = create_engine(_URL, pool_size=connections + 2, max_overflow=0)
    store = SQLAlchemyEventStore(create_session_factory(engine), table="bench_events")
    await drop_schema(engine, store)
    await create_schema(engine, store)
    url = _URL.replace("+asyncpg", "")
    async with asyncpg.create_pool(url, min_size=connections, max_size=connections) as pool:
        await pool.execute("DROP TABLE IF EXISTS bench_plain")
        await pool.execute(
            "CREATE TABLE bench_plain (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
            " tenant_id text NOT NULL, aggregate_id text NOT NULL, aggregate_type text NOT NULL,"
            " version bigint NOT NULL, event_id text NOT NULL, event_type text NOT NULL,"
            " schema_version int NOT NULL, payload bytea NOT NULL,"
            " occurred_at timestamptz NOT NULL, recorded_at timestamptz NOT NULL,"
            " correlation_id text, causation_id text,"
            " metadata jsonb, UNIQUE (tenant_id, aggregate_id, aggregate_type, version))"
        )
        await pool.execute("CREATE INDEX ON bench_plain (event_id)")
        yield store, pool
        await pool.execute("DROP TABLE bench_plain")
    await drop_schema(engine, store)
    await engine.dispose()


_INSERT = (
    "INSERT INTO bench_plain (tenant_id, aggregate_id, aggregate_type, version, event_id,"
    " event_type, schema_version, payload, occurred_at, recorded_at)"
    " VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)"
)


async def _append_by_hand(pool: Any, stream: StreamId, size: int) -> None:
    now = datetime.now(UTC)
    rows: list[tuple[Any, ...]] = []
    for version in range(1, size + 1):
        event = Sold(
            aggregate_id=stream.aggregate_id, aggregate_type="Till", sku="s", quantity=2, price=3
        )
        rows.append(
            (
                "",
                stream.aggregate_id,
                "Till",
                version,
                event.event_id,
                "Sold",
                1,
                to_json(event),
                event.occurred_at,
                now,
            )
        )
    async with pool.acquire() as connection, connection.transaction():
        if size == 1:
            await connection.execute(_INSERT, *rows[0])
        else:
            await connection.executemany(_INSERT, rows)


async def _spread(connections: int, one: Callable[[str], Awaitable[Any]], number: int) -> int:
    waiting = iter(range(number))

    async def work() -> None:
        for _ in waiting:
            await one(uuid4().hex)

    await asyncio.gather(*(work() for _ in range(connections)))
    return number


async def _append(connections: int, size: int) -> AsyncGenerator[Pair]:
    async for store, pool in _world(connections):

        async def ours(name: str, store: SQLAlchemyEventStore = store) -> None:
            stream = StreamId("Till", name)
            await store.append(stream, _sold(stream, size), 0)

        async def twin(name: str, pool: Any = pool) -> None:
            await _append_by_hand(pool, StreamId("Till", name), size)

        async def ours_all() -> int:
            return size * await _spread(connections, ours, _APPENDS)

        async def twin_all() -> int:
            return size * await _spread(connections, twin, _APPENDS)

        if connections > 1:  # the peer is synchronous
            yield Pair(ours=ours_all, twin=twin_all)
            return
        with peer_tills(_URL) as peer:
            saving = None if peer is None else peer.saving(size, _APPENDS)
            yield Pair(ours=ours_all, twin=twin_all, peer=saving)


@case("event_store", "append.1_per_tx.1_writer", unit="events/s", better="higher")
async def append_one() -> AsyncGenerator[Pair, Any]:
    """One event a transaction."""
    async for pair in _append(1, 1):
        yield pair


@case("event_store", "append.1_per_tx.16_writers", unit="events/s", better="higher")
async def append_one_by_sixteen() -> AsyncGenerator[Pair, Any]:
    """The same, sixteen at a time."""
    async for pair in _append(16, 1):
        yield pair


@case("event_store", "append.10_per_tx.1_writer", unit="events/s", better="higher")
async def append_ten() -> AsyncGenerator[Pair, Any]:
    """Ten events a transaction."""
    async for pair in _append(1, 10):
        yield pair


@case("event_store", "append.10_per_tx.16_writers", unit="events/s", better="higher")
async def append_ten_by_sixteen() -> AsyncGenerator[Pair, Any]:
    """The same, sixteen at a time."""
    async for pair in _append(16, 10):
        yield pair


async def _fill(store: SQLAlchemyEventStore, pool: Any, number: int) -> None:
    for _ in range(number // 100):
        stream = StreamId("Till", uuid4().hex)
        await store.append(stream, _sold(stream, 100), 0)
        await _append_by_hand(pool, stream, 100)
    await store.latest_position()


def _types() -> EventTypeRegistry:
    types = EventTypeRegistry()
    types.add(Sold)
    return types


@case("event_store", "feed.catch_up.typed", unit="events/s", better="higher", rounds=5)
async def catch_up() -> AsyncGenerator[Pair, Any]:
    """Read a feed as objects, beside SELECT, fetch and pydantic."""
    async for store, pool in _world(1):
        await _fill(store, pool, _FEED)
        reader = EventReader(_types())

        async def ours(store: SQLAlchemyEventStore = store) -> int:
            position = found = 0
            while True:
                page = await store.read_feed(after_position=position, limit=2000)
                if page.position == position:
                    return found
                found += len([reader.read(event) for event in page.events])
                position = page.position

        async def twin(pool: Any = pool) -> int:
            position = found = 0
            while True:
                rows = await pool.fetch(
                    "SELECT * FROM bench_plain WHERE position > $1 ORDER BY position LIMIT 2000",
                    position,
                )
                if not rows:
                    return found
                found += len([Sold.model_validate_json(row["payload"]) for row in rows])
                position = rows[-1]["position"]

        yield Pair(ours=ours, twin=twin)


async def _rehydrate(snapshots: bool) -> AsyncGenerator[Pair]:
    async for store, pool in _world(1):
        engine = create_engine(_URL)
        kept = SQLAlchemySnapshotStore(create_session_factory(engine), table="bench_snapshots")
        await drop_schema(engine, kept)
        await create_schema(engine, kept)
        tills = EventSourcedRepository(
            event_store=store,
            aggregate_cls=Till,
            snapshot_store=kept if snapshots else None,
            snapshot_strategy=EveryNEventsStrategy(every_n=100),
            event_registry=_types(),
        )
        till = Till(id="t-1")
        for _ in range(_HISTORY):
            till.record(Sold(sku="s", quantity=2, price=3))
        await tills.add(till)
        await _append_by_hand(pool, StreamId("Till", "t-1"), _HISTORY)

        async def ours(
            tills: EventSourcedRepository[Till] = tills,
        ) -> int:
            for _ in range(20):
                found = await tills.require("t-1")
                assert found.total == 6 * _HISTORY
            return 20

        async def twin(pool: Any = pool) -> int:
            for _ in range(20):
                rows = await pool.fetch(
                    "SELECT payload FROM bench_plain WHERE tenant_id = '' AND aggregate_id = 't-1'"
                    " AND aggregate_type = 'Till' ORDER BY version"
                )
                by_hand = Till(id="t-1")
                for row in rows:
                    by_hand.apply_sold(Sold.model_validate_json(row["payload"]))
            return 20

        with peer_tills(_URL) as peer:
            loading = None if peer is None else peer.loading(_HISTORY, 20)
            yield Pair(ours=ours, twin=twin, peer=loading)
        await drop_schema(engine, kept)
        await engine.dispose()


@case("event_store", "rehydrate.1000_events", unit="ms", better="lower", rounds=5)
async def rehydrate() -> AsyncGenerator[Pair, Any]:
    """Load an aggregate of 1,000 events, beside SELECT and apply by hand."""
    async for pair in _rehydrate(snapshots=False):
        yield pair


@case("event_store", "rehydrate.1000_events.snapshot", unit="ms", better="lower", rounds=5)
async def rehydrate_by_snapshot() -> AsyncGenerator[Pair, Any]:
    """The same with a snapshot; the twin has none."""
    async for pair in _rehydrate(snapshots=True):
        yield pair


@case("event_store", "feed.commit_to_reader", unit="ms", better="lower", rounds=3)
async def latency() -> AsyncGenerator[Pair, Any]:
    """From commit to a reader of another store object, which polls, at 500 events a second.

    Beside a reader that is woken by the store it shares with the writers.
    """
    async for store, _ in _world(8):
        engine = create_engine(_URL)
        other = SQLAlchemyEventStore(create_session_factory(engine), table="bench_events")
        numbers = count()

        async def run(reading: SQLAlchemyEventStore, store: SQLAlchemyEventStore = store) -> int:
            """Take as long as all delays together, so that the mean is what is measured."""
            done: dict[str, float] = {}
            seen: dict[str, float] = {}
            subscription = FeedSubscription(reading, after_position=await store.latest_position())

            async def follow() -> None:
                async for page in subscription.pages():
                    now = perf_counter()
                    seen.update((event.stream.aggregate_id, now) for event in page.events)

            async def write(name: str) -> None:
                stream = StreamId("Till", name)
                await store.append(stream, _sold(stream, 1), 0)
                done[name] = perf_counter()

            following = asyncio.create_task(follow())
            async with asyncio.TaskGroup() as group:
                for _ in range(_RATE):
                    group.create_task(write(f"n-{next(numbers)}"))
                    await asyncio.sleep(1 / _RATE)
            await until(lambda: len(seen) == len(done), timeout=60)
            following.cancel()
            delays = sorted(max(seen[name] - at, 0) for name, at in done.items())
            _say(reading is other, delays)
            return len(done)

        yield Pair(ours=lambda: run(other), twin=lambda: run(store))
        await engine.dispose()


def _say(polls: bool, delays: list[float]) -> None:
    half, most = delays[len(delays) // 2], delays[int(len(delays) * 0.99)]
    who = "polling" if polls else "woken"
    print(f"# feed latency, {who}: p50 {half * 1e3:.1f} ms, p99 {most * 1e3:.1f} ms")


async def _append_with_reader() -> AsyncGenerator[Pair]:
    """Append with a reader that follows, beside the same without one."""
    async for store, _ in _world(16):

        async def one(name: str, store: SQLAlchemyEventStore = store) -> None:
            stream = StreamId("Till", name)
            await store.append(stream, _sold(stream, 1), 0)

        async def alone() -> int:
            return await _spread(16, one, _APPENDS)

        async def followed(store: SQLAlchemyEventStore = store) -> int:
            subscription = FeedSubscription(store, after_position=await store.latest_position())

            async def follow() -> None:
                async for _ in subscription.pages():
                    pass

            following = asyncio.create_task(follow())
            done = await alone()
            following.cancel()
            return done

        yield Pair(ours=followed, twin=alone)


@case("event_store", "append.with_live_reader.16_writers", unit="events/s", better="higher")
async def cost_of_the_feed() -> AsyncGenerator[Pair, Any]:
    """What a live reader in the same process costs; the twin is the same without a reader."""
    async for pair in _append_with_reader():
        yield pair
