"""A process is killed while it appends and gives out positions: the feed goes on, whole."""

import asyncio
import os
import random
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from cqrs_ddd_core import StoredEvent, StreamId, utc_now
from cqrs_ddd_persistence_sqlalchemy import SQLAlchemyEventStore, create_schema

from .conftest import Sql

CHILD = Path(__file__).with_name("killed_appending.py")
KILLS = int(os.environ.get("CQRS_TEST_KILLS", "2"))


async def run_until_killed(url: str, run: str, appends: int, delay: float) -> int:
    """Have a process append so often, and a moment longer; return the version it acknowledged."""
    child = await asyncio.create_subprocess_exec(sys.executable, str(CHILD), url, run, stdout=PIPE)
    assert child.stdout is not None
    try:
        for _ in range(appends):
            assert await asyncio.wait_for(child.stdout.readline(), 60), "It ended by itself."
        await asyncio.sleep(delay)  # the moment: nothing waits for anything here
    finally:
        child.kill()
    rest = (await child.stdout.read()).split()
    await child.wait()
    return max([appends * 3, *map(int, rest)])


async def test_a_killed_process_leaves_the_feed_whole(sql: Sql) -> None:
    store = SQLAlchemyEventStore(sql.session_factory)
    await create_schema(sql.engine, store)
    seed = int(os.environ.get("CQRS_TEST_SEED", str(random.randrange(10**6))))
    print(f"CQRS_TEST_SEED={seed}")  # noqa: T201 - pytest shows it with a failure
    chance, told = random.Random(seed), list[str]()
    for number in range(KILLS):
        run = f"r-{number}"
        delay = chance.uniform(0, 0.02)
        acknowledged = await run_until_killed(sql.url, run, chance.randrange(1, 12), delay)
        stream = StreamId("Run", run)
        after = StoredEvent(
            event_id=f"{run}/after",
            event_type="Done",
            stream=stream,
            payload=b"{}",
            occurred_at=utc_now(),
        )
        # At any version: the server may still be at a commit whose client is gone.
        version = await store.append(stream, [after]) - 1
        assert version in {acknowledged, acknowledged + 3}
        feed = [event async for event in store.read_all()]
        ids = [event.event_id for event in feed]
        assert ids[: len(told)] == told
        whole = [f"{run}/{place}" for place in range(1, version + 1)]
        assert ids[len(told) :] == [*whole, after.event_id]
        assert [event.position for event in feed] == list(range(1, len(feed) + 1))
        told = ids
