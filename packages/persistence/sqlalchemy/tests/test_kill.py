"""A process is killed at random moments: what it acknowledged is there, whole, and nothing half."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter as Count
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cqrs_ddd_persistence_sqlalchemy import create_engine, create_schema, create_session_factory

from .conftest import Sql
from .killed import Counter, LedgerUnitOfWork, ledger, parts_of

CHILD = Path(__file__).with_name("killed.py")
KILLS = int(os.environ.get("CQRS_TEST_KILLS", "6"))
"""How often a process is killed, for each database: ``CQRS_TEST_KILLS=200`` for a long run."""


@dataclass
class World:
    """A database, the process that forks those to be killed, and what these acknowledged."""

    sql: Sql
    parent: Process
    acknowledged: set[str] = field(default_factory=set[str])
    kills: int = 0

    async def run_until_killed(self, commands: int, delay: float) -> None:
        """Have a process do some commands, and a moment of further ones, and kill it."""
        self.kills += 1
        assert self.parent.stdin is not None
        self.parent.stdin.write(f"run-{self.kills}\n".encode())
        pid: int | None = None
        for _ in range(commands + 1):
            pid = self._take(await self._line()) or pid
        assert pid is not None
        await asyncio.sleep(delay)  # the moment: nothing waits for anything here
        os.kill(pid, signal.SIGKILL)
        while line := await self._line():
            self._take(line)

    def _take(self, line: str) -> int | None:
        """Note a command that was acknowledged; return the pid, if it is that."""
        if line.isdigit():
            return int(line)
        assert line.startswith(f"run-{self.kills}/"), f"The process ended by itself: {line!r}"
        self.acknowledged.add(line)
        return None

    async def _line(self) -> str:
        assert self.parent.stdout is not None
        line = await asyncio.wait_for(self.parent.stdout.readline(), 60)
        assert line, "The process ended by itself."
        return line.decode().strip()

    async def check(self) -> None:
        """Compare what one look at the database shows with what was acknowledged."""
        level = {} if self.sql.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        engine = create_engine(self.sql.url, **level)
        session_factory = create_session_factory(engine)
        _, outbox = ledger(session_factory)
        async with LedgerUnitOfWork(session_factory) as uow:
            entries = {entry.id: entry.parts for entry in await uow.entries.list_all()}
            total = (await uow.counters.require("all")).total
            pending = await outbox.get_pending(10_000_000, uow)
        await engine.dispose()
        messages = Count(message.partition_key.partition("/")[2] for message in pending)
        assert self.acknowledged <= entries.keys(), "An acknowledged command is lost."
        surplus = entries.keys() - self.acknowledged
        assert len(surplus) <= self.kills, "More than what was under way was not acknowledged."
        for entry_id, parts in entries.items():
            expected = parts_of(int(entry_id.partition("/")[2]))
            assert (len(parts), messages[entry_id]) == (expected, expected), entry_id
        assert messages.keys() == entries.keys()
        assert total == sum(map(len, entries.values()))


@asynccontextmanager
async def _world(sql: Sql) -> AsyncGenerator[World]:
    command = [sys.executable, str(CHILD), sql.url]
    parent = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        yield World(sql, parent)
    finally:
        with contextlib.suppress(ProcessLookupError):
            parent.kill()
        await parent.wait()


async def test_what_was_acknowledged_is_there_and_nothing_is_there_by_half(sql: Sql) -> None:
    seed = int(os.environ.get("CQRS_TEST_SEED", str(random.randrange(10**6))))
    print(f"CQRS_TEST_SEED={seed}")  # noqa: T201 - pytest shows it with a failure
    chance = random.Random(seed)
    await create_schema(sql.engine, LedgerUnitOfWork, ledger(sql.session_factory)[1])
    async with LedgerUnitOfWork(sql.session_factory) as uow:
        await uow.counters.add(Counter(id="all"))
    async with _world(sql) as world:
        for _ in range(KILLS):
            await world.run_until_killed(chance.randrange(1, 20), chance.uniform(0, 0.01))
            await world.check()
    assert len(world.acknowledged) >= KILLS
