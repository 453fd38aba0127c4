"""Workers that claim sagas at once: none waits for another, none comes away empty."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import event
from sqlalchemy.util import await_only

from cqrs_ddd_advanced_core.sagas import SagaInstance, SagaKind
from cqrs_ddd_persistence_sqlalchemy import SQLAlchemySagaRepository, create_schema

from .conftest import Sql

_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
_DUE, _AT_ONCE = 40, 10


async def _due_sagas(sql: Sql) -> SQLAlchemySagaRepository:
    sagas = SQLAlchemySagaRepository(sql.session_factory)
    await create_schema(sql.engine, sagas)
    for number in range(_DUE):
        await sagas.add(
            SagaInstance(
                saga_id=f"s-{number:02}",
                saga_type="trip",
                kind=SagaKind.TCC,
                wake_at=_LONG_AGO,
                created_at=_LONG_AGO,
                updated_at=_LONG_AGO,
            )
        )
    return sagas


async def _claim(sagas: SQLAlchemySagaRepository, worker: str) -> set[str]:
    claimed = await sagas.claim(["trip"], worker=worker, lease=3600, limit=_AT_ONCE)
    return {saga.saga_id for saga in claimed}


async def test_a_claim_under_way_leaves_the_other_sagas_to_others(mariadb_sql: Sql) -> None:
    """Elsewhere it is one statement, which nothing comes between."""
    sagas = await _due_sagas(mariadb_sql)
    picked, go_on = asyncio.Event(), asyncio.Event()

    def hold(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "FOR UPDATE SKIP LOCKED" in statement and not picked.is_set():
            picked.set()
            await_only(go_on.wait())  # its rows are locked, its transaction is open

    sync_engine = mariadb_sql.engine.sync_engine
    event.listen(sync_engine, "after_cursor_execute", hold)
    first = asyncio.create_task(_claim(sagas, "first"))
    try:
        await asyncio.wait_for(picked.wait(), 30)
        second = await asyncio.wait_for(_claim(sagas, "second"), 30)
    finally:
        go_on.set()
        mine = await first
    assert (len(mine), len(second)) == (_AT_ONCE, _AT_ONCE)
    assert not mine & second


async def test_a_claim_reads_no_more_than_it_takes(sql_server: Sql) -> None:
    sagas = await _due_sagas(sql_server)
    seen: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        seen.append(statement)

    event.listen(sql_server.engine.sync_engine, "before_cursor_execute", note)
    await _claim(sagas, "w")
    [claim] = [statement for statement in seen if "FOR UPDATE" in statement]
    ordered = claim.split("ORDER BY", 1)[1].split("LIMIT", 1)[0].strip()
    assert ordered == "sagas.wake_at"  # what the index gives; one more column and all are sorted
