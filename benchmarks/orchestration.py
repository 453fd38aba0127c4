"""What a step of an orchestrated saga costs, in memory and on PostgreSQL."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Any
from uuid import uuid4

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import async_sessionmaker

from benchmarks.harness import Pair, Work, case
from benchmarks.sagas import World, saga_world
from cqrs_ddd_advanced_core.orchestration import (
    Orchestration,
    OrchestrationRunner,
    Step,
    StepFunctions,
)
from cqrs_ddd_advanced_core.sagas import InMemorySagaRepository, ISagaRepository, SagaStatus

_IN_MEMORY, _ON_DISK = 200, 40


@dataclass
class Trip:
    done: int = 0


async def _act(trip: Trip, _: Any) -> None:
    trip.done += 1


async def _compensate(trip: Trip, _: Any) -> None: ...


_NAMES = ("room", "flight", "car")
_TRIP = Orchestration(
    "trip", Trip, [Step(name, StepFunctions(_act, _compensate)) for name in _NAMES]
)


@cache
def _peer() -> Any:
    """Return the saga of the peer; None, and say so once, where it is not installed."""
    try:
        found = import_module("benchmarks.python_cqrs_saga")
    except ImportError as error:
        print(f"# no peer ({error}): `uv sync --group benchmarks` installs python-cqrs")
        return None
    print(f"# peer: python-cqrs {version('python-cqrs')}")
    return found


def _ours(sagas: ISagaRepository, number: int) -> Work:
    runner = OrchestrationRunner(sagas, [_TRIP])

    async def run() -> int:
        for _ in range(number):
            result = await runner.run(_TRIP, Trip())
            assert (result.status, result.context.done) == (SagaStatus.COMPLETED, 3)
        return number * len(_NAMES)

    return run


def _peers(storage: Any, number: int) -> Work | None:
    library = _peer()

    async def run() -> int:
        for _ in range(number):
            await library.run(storage)
        return number * len(_NAMES)

    return None if library is None else run


@case("sagas", "sagas.memory.orchestrated_step", unit="µs", better="lower")
async def in_memory() -> AsyncGenerator[Pair, Any]:
    """Three steps with a journal in memory; by hand, a dict and a list."""
    library = _peer()

    async def twin() -> int:
        rows: dict[str, tuple[int, bytes]] = {}
        journals: dict[str, list[tuple[str, str]]] = {}
        for _ in range(_IN_MEMORY):
            trip, saga_id = Trip(), str(uuid4())
            rows[saga_id], journal = (0, to_json(trip)), journals.setdefault(saga_id, [])
            for number, name in enumerate(_NAMES, start=1):
                journal.append((name, "started"))
                await _act(trip, None)
                journal.append((name, "completed"))
                rows[saga_id] = (number, to_json(trip))
            assert trip.done == 3
        return _IN_MEMORY * len(_NAMES)

    storage = library.MemorySagaStorage() if library is not None else None
    ours = _ours(InMemorySagaRepository(), _IN_MEMORY)
    yield Pair(ours=ours, twin=twin, peer=_peers(storage, _IN_MEMORY))


@asynccontextmanager
async def _peer_storage(world: World) -> AsyncGenerator[Any]:
    library = _peer()
    if library is None:
        yield None
        return
    async with world.engine.begin() as connection:
        await connection.run_sync(library.Base.metadata.create_all)
    try:
        yield library.SqlAlchemySagaStorage(async_sessionmaker(world.engine))
    finally:
        async with world.engine.begin() as connection:
            await connection.run_sync(library.Base.metadata.drop_all)


_BEGIN = "INSERT INTO bench_trips VALUES ($1, 1, null, $2, now())"
_STARTED = (
    "WITH saved AS (UPDATE bench_trips SET version = version + 1, step = $3, updated_at = now() "
    "WHERE id = $1 AND version = $2 RETURNING id) INSERT INTO bench_trip_journal "
    "SELECT id, $2, 'act', 'started', $3, now() FROM saved RETURNING number"
)
_DONE = (
    "WITH saved AS (UPDATE bench_trips SET version = version + 1, state = $4, updated_at = now() "
    "WHERE id = $1 AND version = $2 RETURNING id) INSERT INTO bench_trip_journal "
    "SELECT id, $2, 'act', 'completed', $3, now() FROM saved RETURNING number"
)


@case("sagas", "sagas.postgres.orchestrated_step", unit="ms", better="lower", rounds=5)
async def on_postgres() -> AsyncGenerator[Pair, Any]:
    """Three steps, each noted before and after in a commit of its own."""
    async with saga_world() as world, _peer_storage(world) as storage:

        async def twin() -> int:
            for _ in range(_ON_DISK):
                trip, saga_id, at = Trip(), str(uuid4()), 1
                await world.pool.execute(_BEGIN, saga_id, to_json(trip))
                for name in _NAMES:
                    assert await world.pool.fetchval(_STARTED, saga_id, at, name)
                    await _act(trip, None)
                    assert await world.pool.fetchval(_DONE, saga_id, at + 1, name, to_json(trip))
                    at += 2
                assert trip.done == 3
            return _ON_DISK * len(_NAMES)

        ours = _ours(world.sagas, _ON_DISK)
        yield Pair(ours=ours, twin=twin, peer=_peers(storage, _ON_DISK))
