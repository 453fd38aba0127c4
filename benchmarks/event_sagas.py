"""What a step of an event-driven saga costs on PostgreSQL beside hand-written asyncpg."""

import os
from collections.abc import AsyncGenerator
from importlib import import_module
from typing import Any

from benchmarks.harness import Pair, case
from cqrs_ddd_advanced_core.sagas import (
    SagaBuilder,
    SagaCommandPublisher,
    bootstrap_sagas,
)
from cqrs_ddd_core import (
    Command,
    DomainEvent,
    HandlerRegistry,
    Mediator,
    MiddlewareRegistry,
    OutboxMiddleware,
)
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyOutboxStorage,
    SQLAlchemySagaRepository,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
    drop_schema,
)

asyncpg: Any = import_module("asyncpg")  # it brings no types
_URL = os.environ.get("CQRS_TEST_POSTGRES_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/test")
_SAGAS = 100
_TABLES = (
    "CREATE TABLE bench_flows (id text PRIMARY KEY, type text, key text, version bigint NOT NULL, "
    "status text, data bytea NOT NULL, updated_at timestamptz NOT NULL, UNIQUE (type, key)); "
    "CREATE TABLE bench_flow_journal (flow_id text, number int, action text NOT NULL, "
    "message_id text, at timestamptz NOT NULL, PRIMARY KEY (flow_id, number)); "
    "CREATE TABLE bench_flow_outbox (id bigserial PRIMARY KEY, message_id text UNIQUE, "
    "payload bytea NOT NULL)"
)
_NAMES = "bench_flows, bench_flow_journal, bench_flow_outbox"
_PAYLOAD = b'{"order_id": "o-1", "command_id": "s/1", "correlation_id": "c-1"}'
_FIND = "SELECT id, version, data FROM bench_flows WHERE type = 'fulfilment' AND key = $1"
_BEGIN = "INSERT INTO bench_flows VALUES ($1, 'fulfilment', $1, 1, 'running', $2, $3)"
_NOTE = "INSERT INTO bench_flow_journal VALUES ($1, $2, $3, $4, $5)"
_MOVE = (
    "UPDATE bench_flows SET version = version + 1, status = 'completed', data = $3, "
    "updated_at = $4 WHERE id = $1 AND version = $2 RETURNING version"
)


class Ordered(DomainEvent):
    order_id: str


class Reserve(Command[None]):
    order_id: str


async def _reserve(command: Reserve) -> None:
    """Do nothing: what is measured is what stands around it."""


@case("sagas", "sagas.postgres.event_and_command", unit="sagas/s", better="higher", rounds=5)
async def event_and_command() -> AsyncGenerator[Pair, Any]:
    """Begin a saga by an event, carry out the command it sends, and complete it."""
    engine = create_engine(_URL)
    sessions = create_session_factory(engine)
    outbox = SQLAlchemyOutboxStorage(sessions, table="bench_saga_outbox")
    sagas = SQLAlchemySagaRepository(sessions, table="bench_esagas", journal="bench_esaga_journal")
    registry = HandlerRegistry()
    registry.register_command_handler(Reserve, _reserve)
    middlewares = MiddlewareRegistry([OutboxMiddleware(outbox)])
    mediator = Mediator(
        registry, lambda: SQLAlchemyUnitOfWork(sessions), middleware_registry=middlewares
    )
    saga = (
        SagaBuilder("fulfilment")
        .correlate_by("order_id")
        .on(Ordered, send=lambda e: Reserve(order_id=e.order_id), step="reserving", complete=True)
        .build()
    )
    manager = await bootstrap_sagas(sagas=[saga], repository=sagas, command_bus=mediator)
    publisher = SagaCommandPublisher(manager, max_concurrency=1)
    await drop_schema(engine, outbox, sagas)
    await create_schema(engine, outbox, sagas)
    pool = await asyncpg.create_pool(_URL.replace("+asyncpg", ""), min_size=1, max_size=4)
    await pool.execute(f"DROP TABLE IF EXISTS {_NAMES}; {_TABLES}")

    async def prepare() -> None:
        await pool.execute("TRUNCATE bench_saga_outbox, bench_esagas, bench_esaga_journal")
        await pool.execute(f"TRUNCATE {_NAMES}")

    async def ours() -> int:
        for number in range(_SAGAS):
            await manager.handle(Ordered(order_id=f"o-{number}"))
        assert not any(await publisher.publish(await outbox.get_pending(_SAGAS)))
        return _SAGAS

    async def twin() -> int:
        for number in range(_SAGAS):
            await _handle_by_hand(pool, f"o-{number}")
        for row in await pool.fetch("SELECT message_id FROM bench_flow_outbox ORDER BY id"):
            await _carry_out_by_hand(pool, row["message_id"])
        return _SAGAS

    try:
        yield Pair(ours=ours, twin=twin, prepare=prepare)
    finally:
        await pool.execute(f"DROP TABLE IF EXISTS {_NAMES}")
        await pool.close()
        await drop_schema(engine, outbox, sagas)
        await engine.dispose()


async def _handle_by_hand(pool: Any, key: str) -> None:
    now = utc_now()
    async with pool.acquire() as connection, connection.transaction():
        assert await connection.fetchrow(_FIND, key) is None
        await connection.execute(_BEGIN, key, _PAYLOAD, now)
        notes = [(key, 1, "event", f"e-{key}", now), (key, 2, "act", f"{key}/1", now)]
        await connection.executemany(_NOTE, notes)
        await connection.execute(
            "INSERT INTO bench_flow_outbox (message_id, payload) VALUES ($1, $2)", key, _PAYLOAD
        )


async def _carry_out_by_hand(pool: Any, key: str) -> None:
    now = utc_now()
    async with pool.acquire() as connection, connection.transaction():
        found = await connection.fetchrow(_FIND, key)
        moved = await connection.fetchval(_MOVE, key, found["version"], _PAYLOAD, now)
        assert moved == found["version"] + 1
        await connection.execute(_NOTE, key, 3, "act", f"{key}/1", now)
