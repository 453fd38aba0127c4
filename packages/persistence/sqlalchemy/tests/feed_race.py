"""A race for the feed: writers in every shape of transaction, readers beside them, a judge."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from cqrs_ddd_core import (
    ConcurrencyError,
    ExpectedVersion,
    FeedSubscription,
    PersistenceError,
    StoredEvent,
    StreamAppend,
    StreamId,
    new_id,
    utc_now,
)
from cqrs_ddd_core.testing import until
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyUnitOfWork,
    create_schema,
)

from .conftest import Sql

STREAMS = 24
HELD_STREAM, BESIDE = StreamId("Race", "held"), 1000
TRANSACTIONS = int(os.environ.get("CQRS_FEED_RACE_TRANSACTIONS", "20"))
SEED = int(os.environ.get("CQRS_FEED_RACE_SEED", "0")) or Random().randrange(1, 2**31)
PATIENCE = 60.0 + TRANSACTIONS

STATE = Table(
    "race_state",
    MetaData(),
    Column("id", Integer(), primary_key=True, autoincrement=False),
    Column("value", Integer(), nullable=False),
)
Told = tuple[str, int]  # a stream and a version


class _OnPurposeError(Exception):
    """Rolls a transaction back."""


@dataclass
class Reader:
    """What one reader of the feed was told, in that order."""

    name: str
    told: list[Told] = field(default_factory=list[Told])
    positions: list[int] = field(default_factory=list[int])

    def take(self, events: Sequence[StoredEvent]) -> None:
        self.told += [(event.stream.aggregate_id, event.version) for event in events]
        self.positions += [event.position for event in events]

    def faults(self, truth: set[Told]) -> Counter[str]:
        """Count what is wrong with what it was told."""
        last: Counter[str] = Counter()
        inverted = 0
        for stream, version in self.told:
            inverted += version <= last[stream]
            last[stream] = max(last[stream], version)
        return +Counter(
            lost=len(truth - set(self.told)),
            invented=len(set(self.told) - truth),
            doubled=len(self.told) - len(set(self.told)),
            inverted=inverted,
            astray=sum(a >= b for a, b in zip(self.positions, self.positions[1:], strict=False)),
        )


@dataclass
class Race:
    """Writers and readers on one database."""

    sql: Sql
    store: SQLAlchemyEventStore
    writers: int
    done: Counter[str] = field(default_factory=Counter[str])

    def uow(self) -> SQLAlchemyUnitOfWork:
        return SQLAlchemyUnitOfWork(self.sql.session_factory)

    def events(self, stream: StreamId, number: int) -> list[StoredEvent]:
        return [
            StoredEvent(
                event_id=new_id(),
                event_type="Raced",
                stream=stream,
                payload=b"{}",
                occurred_at=utc_now(),
            )
            for _ in range(number)
        ]

    async def append(self, random: Random, uow: SQLAlchemyUnitOfWork, size: int = 1) -> None:
        """Append behind what the transaction sees of a stream, or at any version."""
        stream = StreamId("Race", f"s-{random.randrange(STREAMS)}")
        if random.random() < 0.3:
            await self.store.append_many([StreamAppend(stream, self.events(stream, size))], uow)
        else:
            version = await self.store.stream_version(stream, uow)
            await self.store.append(stream, self.events(stream, size), version, uow)

    async def touch(self, uow: SQLAlchemyUnitOfWork, writer: int) -> None:
        """Write to another table: the transaction has an id of its own from here on."""
        await uow.execute(update(STATE).where(STATE.c.id == writer).values(value=STATE.c.value + 1))

    # -- shapes of transactions ----------------------------------------------------------------

    async def alone(self, random: Random, _: int) -> None:
        stream = StreamId("Race", f"s-{random.randrange(STREAMS)}")
        await self.store.append(stream, self.events(stream, 2), ExpectedVersion.ANY)

    async def append_first(self, random: Random, writer: int) -> None:
        async with self.uow() as uow:
            await self.append(random, uow, 3)
            await uow.flush()
            await _pause(random)
            await self.touch(uow, writer)
            await _pause(random)

    async def append_last(self, random: Random, writer: int) -> None:
        async with self.uow() as uow:
            await self.touch(uow, writer)
            await _pause(random)
            await self.append(random, uow)

    async def append_between(self, random: Random, writer: int) -> None:
        async with self.uow() as uow:
            await self.touch(uow, writer)
            await _pause(random)
            await self.append(random, uow)
            await self.append(random, uow, 2)
            await uow.flush()
            await _pause(random)
            await self.touch(uow, writer)
            await _pause(random)

    async def several(self, random: Random, writer: int) -> None:
        async with self.uow() as uow:
            for _ in range(random.randint(2, 4)):
                await self.append(random, uow)
                await uow.flush()
                await _pause(random)
                if random.random() < 0.5:
                    await self.touch(uow, writer)

    async def savepoint(self, random: Random, writer: int) -> None:
        async with self.uow() as uow:
            await self.append(random, uow)
            with suppress(_OnPurposeError):
                async with uow.savepoint():
                    await self.append(random, uow, 2)
                    await uow.flush()
                    await _pause(random)
                    _fail()
            await self.touch(uow, writer)
            await self.append(random, uow)

    async def rolled_back(self, random: Random, writer: int) -> None:
        async with self.uow() as uow:
            await self.touch(uow, writer)
            await self.append(random, uow, 2)
            await uow.flush()
            await _pause(random)
            _fail()

    async def long(self, random: Random, writer: int) -> None:
        async with self.uow() as uow:
            await self.touch(uow, writer)
            await self.append(random, uow)
            await uow.flush()
            for _ in range(20):
                await _pause(random)
            await self.append(random, uow)

    async def killed(self, random: Random, writer: int) -> None:
        """End the writer's connection between its append and its commit."""
        async with self.uow() as uow:
            await self.touch(uow, writer)
            await self.append(random, uow)
            await uow.flush()
            await kill(self.sql, uow)

    async def run_writer(self, writer: int) -> None:
        random = Random(SEED * 1000 + writer)
        shapes: dict[str, Callable[[Random, int], Awaitable[None]]] = {
            "alone": self.alone,
            "append first": self.append_first,
            "append last": self.append_last,
            "append between": self.append_between,
            "several appends": self.several,
            "savepoint": self.savepoint,
            "rolled back": self.rolled_back,
            "long": self.long,
        }
        if not self.sql.is_sqlite:
            shapes["killed"] = self.killed
        for _ in range(TRANSACTIONS):
            name = random.choice(list(shapes))
            try:
                await shapes[name](random, writer)
            except _OnPurposeError:
                self.done["rolled back on purpose"] += 1
            except ConcurrencyError:
                self.done["lost a race"] += 1
            except (PersistenceError, DBAPIError):
                if name != "killed":
                    raise
                self.done["killed"] += 1
            else:
                self.done[name] += 1

    # -- what goes on beside them --------------------------------------------------------------

    @asynccontextmanager
    async def something_else_open(self) -> AsyncGenerator[None]:
        """Hold a transaction open that appends nothing: a writer's where writers do not exclude."""
        async with self.sql.engine.connect() as connection:
            if self.sql.is_sqlite:
                await connection.execution_options(cqrs_read_only=True)
                await connection.execute(select(STATE))
            else:
                await connection.execute(update(STATE).where(STATE.c.id == BESIDE).values(value=1))
            yield
            await connection.rollback()

    async def hold_an_append(self, written: asyncio.Event, release: asyncio.Event) -> None:
        """Append before all others and commit after them."""
        async with self.uow() as uow:
            await self.store.append(HELD_STREAM, self.events(HELD_STREAM, 2), 0, uow)
            await uow.flush()
            written.set()
            await release.wait()

    async def mark(
        self, name: str, readers: Sequence[Reader], following: Sequence[asyncio.Task[None]]
    ) -> None:
        """Append to a stream of this name and wait until all readers have been told of it."""
        stream = StreamId("Race", name)
        await self.store.append(stream, self.events(stream, 1), 0)
        mark: Told = (name, 1)

        def arrived() -> bool:
            for task in following:
                if task.done():
                    task.result()
            return all(mark in reader.told for reader in readers)

        await until(arrived, timeout=PATIENCE)

    async def truth(self) -> set[Told]:
        events = self.store.tables.events.c
        async with self.uow() as uow:
            rows: Any = await uow.read(select(events.aggregate_id, events.version))
            return {(row[0], row[1]) for row in rows}


def _fail() -> None:
    raise _OnPurposeError


async def _pause(random: Random) -> None:
    """Let others run: some turns of the loop, as a slow handler would."""
    for _ in range(random.randrange(6)):
        await asyncio.sleep(0)
    if random.random() < 0.3:
        await asyncio.sleep(random.random() * 0.004)


async def kill(sql: Sql, uow: SQLAlchemyUnitOfWork) -> None:
    """End the connection of ``uow`` from another one."""
    own, end = (
        ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend(:id)")
        if sql.is_postgres
        else ("SELECT connection_id()", "KILL CONNECTION :id")
    )
    own_id = (await uow.execute(text(own))).scalar_one()
    async with sql.engine.connect() as connection:
        await connection.execute(text(end).bindparams(id=own_id))


async def open_race(sql: Sql, writers: int) -> Race:
    store = SQLAlchemyEventStore(sql.session_factory)
    await create_schema(sql.engine, store, STATE)
    async with sql.engine.begin() as connection:
        rows = [{"id": n, "value": 0} for n in (*range(writers), BESIDE)]
        await connection.execute(insert(STATE), rows)
    return Race(sql, store, writers)


Follow = Callable[[Race, Reader], Coroutine[Any, Any, None]]


async def run(race: Race, followers: Sequence[tuple[Reader, Follow]]) -> set[Told]:
    """Run the race; return what was committed in the end.

    While a transaction is open that appends nothing, and one that has appended first of all, the
    readers must get to what is committed after all the others.
    """
    following = [asyncio.create_task(follow(race, reader)) for reader, follow in followers]
    readers = [reader for reader, _ in followers]
    written, release = asyncio.Event(), asyncio.Event()
    held = asyncio.create_task(race.hold_an_append(written, release))
    try:
        if race.sql.is_sqlite:  # where it would hold up all other writers
            release.set()
        await asyncio.wait_for(written.wait(), PATIENCE)
        async with race.something_else_open():
            await asyncio.gather(*(race.run_writer(number) for number in range(race.writers)))
            await race.mark("during", readers, following)
        release.set()
        await held
        await race.mark("after", readers, following)
        return await race.truth()
    finally:
        release.set()
        for task in following:
            task.cancel()
        await asyncio.gather(held, *following, return_exceptions=True)


async def follow_the_feed(race: Race, reader: Reader) -> None:
    """Follow by a subscription of a store of its own, which no commit wakes: it has to poll."""
    store = SQLAlchemyEventStore(race.sql.session_factory)
    subscription = FeedSubscription(store, limit=50, min_poll=0.002, max_poll=0.02)
    async with aclosing(subscription.pages()) as pages:
        async for page in pages:
            reader.take(page.events)


async def follow_naively(race: Race, reader: Reader) -> None:
    """Read behind the greatest id seen, as if ids were given out in the order of commits."""
    events = race.store.tables.events.c
    checkpoint = (0, -1)
    while True:
        behind = (events.append_id > checkpoint[0]) | (
            (events.append_id == checkpoint[0]) & (events.place > checkpoint[1])
        )
        query = select(events.append_id, events.place, events.aggregate_id, events.version)
        async with race.uow() as uow:
            rows: Any = await uow.read(query.where(behind).order_by(events.append_id, events.place))
            for row in rows:
                checkpoint = (row[0], row[1])
                reader.told.append((row[2], row[3]))
        await asyncio.sleep(0.002)
