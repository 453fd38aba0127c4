"""What a saga's steps cost on PostgreSQL beside hand-written asyncpg."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.harness import Pair, case
from cqrs_ddd_advanced_core.sagas import (
    JournalEntry,
    SagaAction,
    SagaInstance,
    SagaKind,
    SagaOutcome,
)
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemySagaRepository,
    create_engine,
    create_schema,
    create_session_factory,
    drop_schema,
)

asyncpg: Any = import_module("asyncpg")  # it brings no types
_URL = os.environ.get("CQRS_TEST_POSTGRES_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/test")
_STEPS, _SAGAS, _LEASE = 300, 300, 30.0
_STATE = b'{"order": "o-1", "lines": [' + b"1," * 120 + b"1]}"
_TABLES = (
    "CREATE TABLE bench_trips (id text PRIMARY KEY, version bigint NOT NULL, step text, "
    "state bytea NOT NULL, updated_at timestamptz NOT NULL, wake_at timestamptz, "
    "locked_until timestamptz, worker text); "
    "CREATE TABLE bench_trip_journal (trip_id text, number int, action text NOT NULL, "
    "outcome text NOT NULL, step text NOT NULL, at timestamptz NOT NULL, "
    "PRIMARY KEY (trip_id, number)); "
    "CREATE INDEX ON bench_trips (wake_at) WHERE wake_at IS NOT NULL"
)
_DROP = "DROP TABLE IF EXISTS bench_trips, bench_trip_journal"
_SAVE = (
    "WITH saved AS (UPDATE bench_trips SET version = version + 1, step = $3, state = $4, "
    "updated_at = $5 WHERE id = $1 AND version = $2 RETURNING id) INSERT INTO bench_trip_journal "
    "SELECT id, $6, 'act', 'completed', $3, $5 FROM saved RETURNING number"
)
_CLAIM = (
    "WITH picked AS (SELECT id FROM bench_trips WHERE wake_at <= now() AND (locked_until IS NULL "
    "OR locked_until <= now()) ORDER BY wake_at LIMIT $1 FOR UPDATE SKIP LOCKED) "
    "UPDATE bench_trips t SET version = version + 1, worker = 'w', "
    "locked_until = now() + interval '30 s' FROM picked WHERE t.id = picked.id RETURNING t.*"
)
_FINISH = (
    "UPDATE bench_trips SET version = version + 1, wake_at = null, locked_until = null "
    "WHERE id = $1 AND version = $2"
)


class World(NamedTuple):
    """Sagas of ours, and connections of asyncpg's beside them."""

    sagas: SQLAlchemySagaRepository
    pool: Any
    engine: AsyncEngine


@asynccontextmanager
async def saga_world() -> AsyncGenerator[World]:
    """Open sagas and the tables of the twin, and take them away again."""
    engine = create_engine(_URL)
    sagas = SQLAlchemySagaRepository(
        create_session_factory(engine), table="bench_sagas", journal="bench_saga_journal"
    )
    await drop_schema(engine, sagas)
    await create_schema(engine, sagas)
    pool = await asyncpg.create_pool(_URL.replace("+asyncpg", ""), min_size=1, max_size=4)
    await pool.execute(f"{_DROP}; {_TABLES}")
    try:
        yield World(sagas, pool, engine)
    finally:
        await pool.execute(_DROP)
        await pool.close()
        await drop_schema(engine, sagas)
        await engine.dispose()


def _saga(saga_id: str, **values: Any) -> SagaInstance:
    now = utc_now()
    saga = SagaInstance(
        saga_id=saga_id,
        saga_type="trip",
        kind=SagaKind.ORCHESTRATED,
        data=_STATE,
        created_at=now,
        updated_at=now,
    )
    return replace(saga, **values)


@case("sagas", "sagas.postgres.save_with_journal", unit="µs", better="lower", rounds=5)
async def save_with_journal() -> AsyncGenerator[Pair, Any]:
    """Move one saga a step on, each time in a transaction of its own."""
    async with saga_world() as (sagas, pool, _):

        async def prepare() -> None:
            await pool.execute("TRUNCATE bench_sagas, bench_saga_journal")
            await pool.execute("TRUNCATE bench_trips, bench_trip_journal")
            await sagas.add(_saga("s-1"))
            await pool.execute("INSERT INTO bench_trips VALUES ('s-1', 1, null, $1, now())", _STATE)

        async def ours() -> int:
            saga = await sagas.find("s-1")
            assert saga is not None
            for number in range(1, _STEPS + 1):
                now = utc_now()
                entry = JournalEntry(
                    number=number,
                    action=SagaAction.ACT,
                    outcome=SagaOutcome.COMPLETED,
                    step="book",
                    at=now,
                )
                moved = replace(saga, step="book", entries=number, updated_at=now)
                saga = await sagas.save(moved, [entry])
            return _STEPS

        async def twin() -> int:
            for number in range(1, _STEPS + 1):
                saved = await pool.fetchval(_SAVE, "s-1", number, "book", _STATE, utc_now(), number)
                assert saved == number
            return _STEPS

        yield Pair(ours=ours, twin=twin, prepare=prepare)


@case("sagas", "sagas.postgres.claim_and_finish", unit="sagas/s", better="higher", rounds=5)
async def claim_and_finish() -> AsyncGenerator[Pair, Any]:
    """Take sagas over in tens, and finish each."""
    async with saga_world() as (sagas, pool, _):

        async def prepare() -> None:
            await pool.execute("TRUNCATE bench_sagas, bench_saga_journal")
            await pool.execute("TRUNCATE bench_trips, bench_trip_journal")
            due = utc_now()
            for number in range(_SAGAS):
                await sagas.add(_saga(f"s-{number}", wake_at=due))
            await pool.execute(
                "INSERT INTO bench_trips SELECT 's-' || n, 1, null, $1, now(), now() "
                "FROM generate_series(1, $2) n",
                _STATE,
                _SAGAS,
            )

        async def ours() -> int:
            done = 0
            while claimed := await sagas.claim(["trip"], worker="w", lease=_LEASE):
                async with asyncio.TaskGroup() as group:
                    for saga in claimed:
                        group.create_task(sagas.save(replace(saga, wake_at=None), release=True))
                done += len(claimed)
            assert done == _SAGAS
            return done

        async def twin() -> int:
            done = 0
            while claimed := await pool.fetch(_CLAIM, 10):
                async with asyncio.TaskGroup() as group:
                    for row in claimed:
                        group.create_task(pool.execute(_FINISH, row["id"], row["version"]))
                done += len(claimed)
            assert done == _SAGAS
            return done

        yield Pair(ours=ours, twin=twin, prepare=prepare)
