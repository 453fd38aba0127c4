"""What an orchestrated saga costs on PostgreSQL beside hand-written asyncpg."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import Pair, case
from benchmarks.sagas import saga_world
from cqrs_ddd_advanced_core.orchestration import (
    Orchestration,
    OrchestrationRunner,
    Step,
    StepCall,
    StepFunctions,
)
from cqrs_ddd_core.primitives.clock import utc_now

_SAGAS, _NAMES = 50, ("a", "b", "c", "d", "e")
_NOTE = (
    "WITH saved AS (UPDATE bench_trips SET version = version + 1, step = $3, state = $4, "
    "updated_at = $5 WHERE id = $1 AND version = $2 RETURNING id) INSERT INTO bench_trip_journal "
    "SELECT id, $6, 'act', $7, $3, $5 FROM saved RETURNING number"
)
_BEGIN = "INSERT INTO bench_trips VALUES ($1, 1, null, $2, now(), now(), now())"


@dataclass
class Trail:
    """What the steps share."""

    done: str = ""


async def _act(trail: Trail, call: StepCall) -> None:
    trail.done += call.step


@case("sagas", "orchestration.postgres.five_steps", unit="sagas/s", better="higher", rounds=5)
async def five_steps() -> AsyncGenerator[Pair, Any]:
    """Run sagas of five steps that do nothing, each written down before and behind."""
    async with saga_world() as (sagas, pool):
        handler = StepFunctions(_act)
        trip = Orchestration("trip", Trail, [Step(n, handler, compensates=False) for n in _NAMES])
        runner = OrchestrationRunner(sagas, [trip])

        async def prepare() -> None:
            await pool.execute("TRUNCATE bench_sagas, bench_saga_journal")
            await pool.execute("TRUNCATE bench_trips, bench_trip_journal")

        async def ours() -> int:
            for number in range(_SAGAS):
                (await runner.run(trip, Trail(), saga_id=f"s-{number}")).require_completed()
            return _SAGAS

        async def twin() -> int:
            for each in range(_SAGAS):
                saga_id, state, version = f"s-{each}", b"", 1
                await pool.execute(_BEGIN, saga_id, state)
                for name in _NAMES:
                    for outcome in ("started", "completed"):
                        if outcome == "completed":
                            state += name.encode()
                        now = utc_now()
                        saved = await pool.fetchval(
                            _NOTE, saga_id, version, name, state, now, version, outcome
                        )
                        assert saved == version
                        version += 1
            return _SAGAS

        yield Pair(ours=ours, twin=twin, prepare=prepare)
