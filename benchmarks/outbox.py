"""The relay on PostgreSQL, beside a loop by hand: throughput, latency, idle polls, the inbox."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import import_module
from statistics import quantiles
from time import perf_counter
from typing import Any, NamedTuple
from uuid import uuid4

from benchmarks.harness import Pair, case
from benchmarks.unit_of_work import _URL  # pyright: ignore[reportPrivateUsage]
from cqrs_ddd_core import (
    AggregateRoot,
    BaseEventConsumer,
    DomainEvent,
    EventPhase,
    HandlerRegistry,
    InMemoryOutboxStorage,
    JsonMessageCodec,
    Mediator,
    MiddlewareRegistry,
    OutboxMessage,
    OutboxMiddleware,
    new_id,
    repository,
    slot_of,
)
from cqrs_ddd_core.cqrs.outbox import BufferedOutbox, DurableHandlerPublisher
from cqrs_ddd_messaging.memory import InMemoryConsumer, InMemoryMessageBus, InMemoryPublisher
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyInboxStorage,
    SQLAlchemyOutboxStorage,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
    drop_schema,
)

asyncpg: Any = import_module("asyncpg")  # it brings no types
_MESSAGES, _BATCH = 50_000, 500
_SETTLED = 1_000_000
_CONSUMED, _WORKERS = 2000, 10
_RATE, _SECONDS = 500, 4
_PAYLOAD = b'{"text": "' + b"x" * 280 + b'"}'
_COLUMNS = (
    "slot",
    "message_id",
    "event_type",
    "schema_version",
    "payload",
    "content_type",
    "partition_key",
    "occurred_at",
    "recorded_at",
    "headers",
)


class InstantBroker:
    """Confirms at once, and tells when it has all it waits for."""

    def __init__(self) -> None:
        self.left = 0
        self.done = asyncio.Event()
        self.arrived: dict[str, float] = {}

    async def publish(self, messages: Sequence[OutboxMessage]) -> list[Exception | None]:
        self.left -= len(messages)
        now = perf_counter()
        for message in messages:
            self.arrived[message.message_id] = now
        if self.left <= 0:
            self.done.set()
        return [None] * len(messages)


class World(NamedTuple):
    """An outbox, and a connection of asyncpg's beside it."""

    storage: SQLAlchemyOutboxStorage
    inbox: SQLAlchemyInboxStorage
    session_factory: Any
    connection: Any


@asynccontextmanager
async def _world(*sources: Any) -> AsyncGenerator[World]:
    engine = create_engine(_URL, pool_size=16)
    session_factory = create_session_factory(engine)
    storage = SQLAlchemyOutboxStorage(session_factory, table="bench_relay")
    inbox = SQLAlchemyInboxStorage(session_factory, table="bench_inbox")
    await drop_schema(engine, storage, inbox, *sources)
    await create_schema(engine, storage, inbox, *sources)
    connection = await asyncpg.connect(_URL.replace("+asyncpg", ""))
    try:
        yield World(storage, inbox, session_factory, connection)
    finally:
        await connection.close()
        await drop_schema(engine, storage, inbox, *sources)
        await engine.dispose()


async def _fill(connection: Any, messages: int, keys: int) -> None:
    now = datetime.now(UTC)
    by_key = [(slot_of(f"k-{number}"), f"k-{number}") for number in range(keys)]
    rows = [
        (slot, new_id(), "Benched", 1, _PAYLOAD, "application/json", key, now, now, "{}")
        for slot, key in (by_key[number % keys] for number in range(messages))
    ]
    await connection.copy_records_to_table("bench_relay", records=rows, columns=_COLUMNS)


async def _relay_by_hand(connection: Any, broker: InstantBroker) -> None:
    """One loop, alone in the world: no leases, no fencing, no failures."""
    while rows := await connection.fetch("SELECT * FROM bench_relay ORDER BY id LIMIT $1", _BATCH):
        messages = [
            OutboxMessage(
                message_id=row["message_id"],
                event_type=row["event_type"],
                payload=row["payload"],
                occurred_at=row["occurred_at"],
                partition_key=row["partition_key"],
            )
            for row in rows
        ]
        await broker.publish(messages)
        ids = [row["id"] for row in rows]
        await connection.execute("DELETE FROM bench_relay WHERE id = ANY($1::bigint[])", ids)


async def _drain(keys: int) -> AsyncGenerator[Pair]:
    broker = InstantBroker()
    async with _world() as (storage, _, _, connection):
        outbox = BufferedOutbox(storage=storage, broker=broker, batch_size=_BATCH)

        async def ours() -> int:
            broker.left = _MESSAGES
            broker.done.clear()
            async with outbox:
                await broker.done.wait()
            return _MESSAGES

        async def twin() -> int:
            await _relay_by_hand(connection, broker)
            return _MESSAGES

        yield Pair(ours=ours, twin=twin, prepare=lambda: _fill(connection, _MESSAGES, keys))


@case("outbox", "outbox.relay.1_key", unit="messages/s", better="higher", rounds=5)
async def drain_one_key() -> AsyncGenerator[Pair, Any]:
    """Deliver to a broker that confirms at once."""
    async for pair in _drain(1):
        yield pair


@case("outbox", "outbox.relay.100_keys", unit="messages/s", better="higher", rounds=5)
async def drain_hundred_keys() -> AsyncGenerator[Pair, Any]:
    """The same, a hundred keys."""
    async for pair in _drain(100):
        yield pair


@case("outbox", "outbox.relay.10000_keys", unit="messages/s", better="higher", rounds=5)
async def drain_many_keys() -> AsyncGenerator[Pair, Any]:
    """The same, ten thousand keys."""
    async for pair in _drain(10_000):
        yield pair


async def _latency(rank: int) -> AsyncGenerator[Pair]:
    """Commit 500 messages a second; the twin publishes in the same task, right after the commit."""
    broker = InstantBroker()
    async with _world() as (storage, _, session_factory, _):

        async def run(outbox: Any, after: Any) -> float:
            broker.arrived.clear()
            committed: dict[str, float] = {}
            start = perf_counter()
            for number in range(_RATE * _SECONDS):
                message = OutboxMessage(
                    message_id=new_id(),
                    event_type="Benched",
                    payload=_PAYLOAD,
                    occurred_at=datetime.now(UTC),
                    partition_key=f"k-{number % 100}",
                )
                async with SQLAlchemyUnitOfWork(session_factory) as uow:
                    await outbox.save_messages([message], uow)
                    await uow.commit()
                    committed[message.message_id] = perf_counter()
                await after(message)
                await asyncio.sleep(max(0.0, start + number / _RATE - perf_counter()))
            while len(broker.arrived) < len(committed):  # noqa: ASYNC110 - others are measured
                await asyncio.sleep(0.001)
            waits = [max(0.0, broker.arrived[key] - at) for key, at in committed.items()]
            return quantiles(waits, n=100)[rank - 1]

        async def nothing(_: OutboxMessage) -> None:
            pass

        async def publish(message: OutboxMessage) -> None:
            await broker.publish([message])

        async def ours() -> float:
            broker.left = 10**9
            async with BufferedOutbox(storage=storage, broker=broker) as outbox:
                return await run(outbox, nothing)

        async def twin() -> float:
            found = await run(storage, publish)
            async with storage._engine.begin() as connection:  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001
                await connection.exec_driver_sql("DELETE FROM bench_relay")
            return found

        yield Pair(ours=ours, twin=twin, measures=True)


@case("outbox", "outbox.latency_at_500.p50", unit="ms", better="lower", rounds=3)
async def latency_median() -> AsyncGenerator[Pair, Any]:
    """From the commit to the broker."""
    async for pair in _latency(50):
        yield pair


@case("outbox", "outbox.latency_at_500.p99", unit="ms", better="lower", rounds=3)
async def latency_tail() -> AsyncGenerator[Pair, Any]:
    """The same, the slowest of a hundred."""
    async for pair in _latency(99):
        yield pair


async def _idle(*, vacuum: bool) -> AsyncGenerator[Pair]:
    """Poll an outbox from which a million messages were delivered; the twin reads an empty one."""
    async with _world() as (storage, _, _, connection):
        await connection.execute("CREATE TEMP TABLE empty_outbox (LIKE bench_relay INCLUDING ALL)")
        await _fill(connection, 1, 1)
        last = (await storage.read(range(64), 0, 1)).messages[0].position
        for _ in range(_SETTLED // 100_000):
            await _fill(connection, 100_000, 10_000)
        await connection.execute("DELETE FROM bench_relay")
        if vacuum:
            await connection.execute("VACUUM bench_relay")
        last += _SETTLED
        sql = "SELECT * FROM empty_outbox WHERE id > $1 AND slot >= 0 ORDER BY id LIMIT 500"

        async def ours() -> int:
            for _ in range(20):
                await storage.read(range(64), last, _BATCH)
            return 20

        async def twin() -> int:
            for _ in range(20):
                await connection.fetch(sql, last)
            return 20

        yield Pair(ours=ours, twin=twin)


@case("outbox", "outbox.idle_poll.million_settled", unit="ms", better="lower")
async def idle_poll() -> AsyncGenerator[Pair, Any]:
    """Right after a million messages were delivered, before any vacuum."""
    async for pair in _idle(vacuum=False):
        yield pair


@case("outbox", "outbox.idle_poll.vacuumed", unit="ms", better="lower")
async def idle_poll_vacuumed() -> AsyncGenerator[Pair, Any]:
    """The same once autovacuum has run."""
    async for pair in _idle(vacuum=True):
        yield pair


class Effect(AggregateRoot[str]):
    """What a handled message leaves behind."""

    text: str


class BenchUnitOfWork(SQLAlchemyUnitOfWork):
    """Its unit of work."""

    effects = repository(Effect, table="bench_effects")


class Benched(DomainEvent):
    """What is handled."""

    text: str


class Handling(NamedTuple):
    """What handles events in PostgreSQL: by our code, and by hand in the same batches."""

    registry: HandlerRegistry
    mediator: Mediator
    inbox: SQLAlchemyInboxStorage
    session_factory: Any
    by_hand: Callable[[Sequence[OutboxMessage]], Awaitable[None]]


@asynccontextmanager
async def _handling(phase: EventPhase) -> AsyncGenerator[Handling]:
    """Set up one handler with an effect in a table, and its twin on ten connections."""
    async with _world(BenchUnitOfWork) as (_, inbox, session_factory, _):
        registry = HandlerRegistry()

        async def note(event: Benched, uow: BenchUnitOfWork) -> None:
            await uow.effects.add(Effect(id=event.event_id, text=event.text))

        registry.register_event_handler(Benched, note, phase=phase, name="note")
        mediator, codec = _mediator(registry, session_factory), JsonMessageCodec()
        async with asyncpg.create_pool(
            _URL.replace("+asyncpg", ""), min_size=_WORKERS, max_size=_WORKERS
        ) as pool:

            async def handle(batch: Sequence[OutboxMessage]) -> None:
                events = [codec.decode(Benched, message.payload) for message in batch]
                async with pool.acquire() as own, own.transaction():
                    ids = [message.message_id for message in batch]
                    known = await own.fetch(
                        "SELECT message_id FROM bench_inbox"
                        " WHERE consumer = 'twin' AND message_id = ANY($1)",
                        ids,
                    )
                    assert not known
                    await own.executemany(
                        "INSERT INTO bench_inbox VALUES ('twin', $1, now())", [(i,) for i in ids]
                    )
                    await own.executemany(
                        "INSERT INTO bench_effects (id, text, version) VALUES ($1, $2, 1)",
                        [(uuid4().hex, event.text) for event in events],
                    )

            async def by_hand(messages: Sequence[OutboxMessage]) -> None:
                batches = iter([messages[at : at + 50] for at in range(0, len(messages), 50)])

                async def work() -> None:
                    for batch in batches:
                        await handle(batch)

                await asyncio.gather(*(work() for _ in range(_WORKERS)))

            yield Handling(registry, mediator, inbox, session_factory, by_hand)


def _events(amount: int) -> list[OutboxMessage]:
    codec = JsonMessageCodec()
    return [
        OutboxMessage(
            message_id=event.event_id,
            event_type="Benched",
            payload=codec.encode(event),
            occurred_at=event.occurred_at,
            partition_key=f"k-{number % 500}",
        )
        for number, event in enumerate(Benched(text=f"text {n}") for n in range(amount))
    ]


@case("outbox", "outbox.consume_inbox_effect", unit="messages/s", better="higher", rounds=7)
async def consume() -> AsyncGenerator[Pair, Any]:
    """Consume from a broker in memory: inbox and effect in one transaction, fifty messages each."""
    async with _handling(EventPhase.AFTER_COMMIT) as handling:
        bus, waiting = InMemoryMessageBus(), list[OutboxMessage]()
        bus.declare_queue("bench")
        publisher = InMemoryPublisher(bus)

        async def prepare() -> None:
            waiting[:] = _events(_CONSUMED)

        async def ours() -> int:
            await publisher.publish(waiting)
            consumer = BaseEventConsumer(
                InMemoryConsumer(bus, "bench"),
                handling.registry,
                name="bench",
                uow_factory=handling.mediator.unit_of_work,
                inbox=handling.inbox,
            )
            await consumer.start()
            while consumer.settled < _CONSUMED:  # noqa: ASYNC110 - others are measured
                await asyncio.sleep(0.001)
            await consumer.stop()
            return _CONSUMED

        async def twin() -> int:
            await handling.by_hand(waiting)
            return _CONSUMED

        yield Pair(ours=ours, twin=twin, prepare=prepare)


@case("outbox", "outbox.durable_handlers", unit="messages/s", better="higher", rounds=7)
async def durable_handlers() -> AsyncGenerator[Pair, Any]:
    """The same through a DURABLE handler, five hundred messages handed over at once."""
    async with _handling(EventPhase.DURABLE) as handling:
        publisher = DurableHandlerPublisher(handling.mediator, handling.inbox)
        waiting = list[OutboxMessage]()

        async def prepare() -> None:
            waiting[:] = _events(_CONSUMED)

        async def ours() -> int:
            for at in range(0, _CONSUMED, _BATCH):
                outcomes = await publisher.publish(waiting[at : at + _BATCH])
                assert not any(outcomes), outcomes
            return _CONSUMED

        async def twin() -> int:
            for at in range(0, _CONSUMED, _BATCH):
                await handling.by_hand(waiting[at : at + _BATCH])
            return _CONSUMED

        yield Pair(ours=ours, twin=twin, prepare=prepare)


def _mediator(registry: HandlerRegistry, session_factory: Any) -> Mediator:
    return Mediator(
        registry,
        lambda: BenchUnitOfWork(session_factory),
        middleware_registry=MiddlewareRegistry([OutboxMiddleware(InMemoryOutboxStorage())]),
    )
