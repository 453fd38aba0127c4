"""A race for seats: writers who decide on courses and students at once, and a judge.

Each event carries how many events its decision was made on. Every writer keeps the rules by what
it has read, so a broken rule, or another number of events in front of it in the feed, means that
somebody was not seen.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from pydantic_core import from_json, to_json
from sqlalchemy import Column, Integer, MetaData, Table, insert, text, update
from sqlalchemy.exc import DBAPIError

from cqrs_ddd_core import (
    AppendCondition,
    ConcurrencyError,
    EventQuery,
    PersistenceError,
    StoredEvent,
    StreamAppend,
    StreamId,
    new_id,
    utc_now,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyUnitOfWork,
    create_schema,
)

from .conftest import Sql
from .feed_race import kill

COURSES, STUDENTS, SEATS, MOST_COURSES = 6, 24, 5, 3
TRANSACTIONS = int(os.environ.get("CQRS_ENROLMENT_RACE_TRANSACTIONS", "12"))
SEED = int(os.environ.get("CQRS_ENROLMENT_RACE_SEED", "0")) or Random().randrange(1, 2**31)

STATE = Table(
    "enrolment_state",
    MetaData(),
    Column("id", Integer(), primary_key=True, autoincrement=False),
    Column("value", Integer(), nullable=False),
)


class _OnPurposeError(Exception):
    """Rolls a transaction back."""


@dataclass
class EnrolmentRace:
    """Writers on one database.

    Attributes:
        conditional: whether writers append on the condition that they read everything.
    """

    sql: Sql
    store: SQLAlchemyEventStore
    conditional: bool = True
    done: Counter[str] = field(default_factory=Counter[str])

    def uow(self) -> SQLAlchemyUnitOfWork:
        return SQLAlchemyUnitOfWork(self.sql.session_factory)

    async def subscribe(self, random: Random, uow: SQLAlchemyUnitOfWork | None) -> bool:
        """Take a seat if the rules allow it by what is read."""
        course, student = (
            f"course:{random.randrange(COURSES)}",
            f"student:{random.randrange(STUDENTS)}",
        )
        query = EventQuery.of(types=["Subscribed"], tags=[course]) | EventQuery.of(tags=[student])
        read = [event async for event in self.store.read_matching(query, uow=uow)]
        await _pause(random)
        if broken_rules(read, course, student):
            return False
        condition = AppendCondition(query, len(read))
        await self.append([course, student], query, condition, uow)
        return True

    async def append(
        self,
        tags: Sequence[str],
        query: EventQuery,
        condition: AppendCondition,
        uow: SQLAlchemyUnitOfWork | None,
    ) -> None:
        items = [[list(item.types), list(item.tags)] for item in query.items]
        stored = StoredEvent(
            event_id=(event_id := new_id()),
            event_type="Subscribed",
            stream=StreamId("Subscribed", event_id),
            payload=to_json({"expected": condition.version, "items": items}),
            occurred_at=utc_now(),
            tags=tuple(tags),
        )
        append = StreamAppend(stored.stream, [stored], 0)
        await self.store.append_many(
            [append], uow, condition=condition if self.conditional else None
        )

    async def touch(self, uow: SQLAlchemyUnitOfWork, writer: int) -> None:
        await uow.execute(update(STATE).where(STATE.c.id == writer).values(value=STATE.c.value + 1))

    # -- shapes of transactions ----------------------------------------------------------------

    async def alone(self, random: Random, _: int) -> None:
        await self.subscribe(random, None)

    async def short(self, random: Random, writer: int) -> None:
        async with self.uow() as uow:
            await self.touch(uow, writer)
            await self.subscribe(random, uow)

    async def long(self, random: Random, writer: int) -> None:
        async with self.uow() as uow:
            await self.subscribe(random, uow)
            await uow.flush()
            await _pause(random, 10)
            await self.touch(uow, writer)

    async def several(self, random: Random, writer: int) -> None:
        """Decide twice, and so wait for locks while holding others."""
        async with self.uow() as uow:
            await self.subscribe(random, uow)
            await uow.flush()
            await self.touch(uow, writer)
            await _pause(random)
            await self.subscribe(random, uow)

    async def savepoint(self, random: Random, writer: int) -> None:
        async with self.uow() as uow:
            with suppress(_OnPurposeError):
                async with uow.savepoint():
                    await self.subscribe(random, uow)
                    await uow.flush()
                    await _pause(random)
                    raise _OnPurposeError
            await self.touch(uow, writer)
            await self.subscribe(random, uow)

    async def rolled_back(self, random: Random, writer: int) -> None:
        async with self.uow() as uow:
            await self.touch(uow, writer)
            await self.subscribe(random, uow)
            await uow.flush()
            await _pause(random)
            raise _OnPurposeError

    async def plain(self, random: Random, _: int) -> None:
        """Append what others' queries find, on no condition."""
        student = f"student:{random.randrange(STUDENTS)}"
        stream = StreamId("Moved", new_id())
        moved = StoredEvent(
            event_id=stream.aggregate_id,
            event_type="Moved",
            stream=stream,
            payload=b"{}",
            occurred_at=utc_now(),
            tags=(student,),
        )
        async with self.uow() as uow:
            await self.store.append(stream, [moved], 0, uow)
            await uow.flush()
            await _pause(random)

    async def killed(self, random: Random, writer: int) -> None:
        async with self.uow() as uow:
            await self.touch(uow, writer)
            await self.subscribe(random, uow)
            await uow.flush()
            await kill(self.sql, uow)

    async def run_writer(self, writer: int, together: asyncio.Barrier) -> None:
        random = Random(SEED * 1000 + writer)
        shapes: dict[str, Callable[[Random, int], Awaitable[None]]] = {
            name: getattr(self, name)
            for name in ("alone", "short", "long", "several", "savepoint", "rolled_back", "plain")
        }
        if not self.sql.is_sqlite:
            shapes["killed"] = self.killed
        await together.wait()
        for _ in range(TRANSACTIONS):
            name = random.choice(list(shapes))
            try:
                await shapes[name](random, writer)
            except _OnPurposeError:
                self.done["rolled back on purpose"] += 1
            except ConcurrencyError:
                self.done["refused"] += 1
            except (PersistenceError, DBAPIError):
                if name != "killed":
                    raise
                self.done["killed"] += 1
            else:
                self.done[name] += 1

    async def run(self, writers: int) -> Counter[str]:
        """Have all writers race; return what is wrong with the feed, by kind."""
        together = asyncio.Barrier(writers)
        await asyncio.gather(*(self.run_writer(number, together) for number in range(writers)))
        return faults([event async for event in self.store.read_all()])


def broken_rules(events: Sequence[StoredEvent], course: str, student: str) -> list[str]:
    """Return which rules one more subscription would break."""
    subscribed = [event.tags for event in events if event.event_type == "Subscribed"]
    rules = {
        "overbooked": sum(course in tags for tags in subscribed) >= SEATS,
        "too many courses": sum(student in tags for tags in subscribed) >= MOST_COURSES,
        "double": any(course in tags and student in tags for tags in subscribed),
    }
    return [rule for rule, is_broken in rules.items() if is_broken]


def faults(feed: Sequence[StoredEvent]) -> Counter[str]:
    """Count the broken rules, and the decisions that stand behind what they did not know of."""
    found: Counter[str] = Counter()
    for place, event in enumerate(feed):
        if event.event_type != "Subscribed":
            continue
        before, (course, student) = feed[:place], event.tags
        found.update(broken_rules(before, course, student))
        decision = from_json(event.payload)
        parts = [EventQuery.of(types=types, tags=tags) for types, tags in decision["items"]]
        query = parts[0] | parts[1]
        known = sum(query.matches_stored(earlier) for earlier in before)
        found["decided on other events"] += known != decision["expected"]
    return +found


async def open_enrolment_race(sql: Sql, writers: int, *, conditional: bool = True) -> EnrolmentRace:
    store = SQLAlchemyEventStore(sql.session_factory)
    await create_schema(sql.engine, store, STATE)
    async with sql.engine.begin() as connection:
        rows = [{"id": n, "value": 0} for n in range(writers)]
        await connection.execute(insert(STATE), rows)
        if sql.is_postgres:  # deadlocks are found by the server: have it look often
            name = (await connection.execute(text("SELECT current_database()"))).scalar_one()
            await connection.execute(text(f'ALTER DATABASE "{name}" SET deadlock_timeout = 100'))
    await sql.engine.dispose()  # the setting is for new connections
    return EnrolmentRace(sql, store, conditional)


async def _pause(random: Random, times: int = 1) -> None:
    """Let others run, as a slow handler would."""
    for _ in range(times):
        await asyncio.sleep(random.random() * 0.004)
