"""Memory of a long run: ``python -m benchmarks.memory --minutes 60``.

Commands, relay, consumer with inbox and projection work in one process on PostgreSQL at a steady
rate. After each minute it prints what was done, and how much memory is in use. Flat is the aim.
"""

import asyncio
import gc
import os
import tracemalloc
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer
from sqlalchemy import BigInteger, Column, MetaData, Table, text

from benchmarks.unit_of_work import _URL  # pyright: ignore[reportPrivateUsage]
from cqrs_ddd_core import (
    AggregateRoot,
    BaseEventConsumer,
    Command,
    DomainEvent,
    EventStorePersistenceMiddleware,
    HandlerRegistry,
    Mediator,
    MiddlewareRegistry,
    OutboxMessage,
    OutboxMiddleware,
    Worker,
    repository,
)
from cqrs_ddd_core.cqrs.outbox import BufferedOutbox
from cqrs_ddd_messaging.memory import InMemoryConsumer, InMemoryMessageBus, InMemoryPublisher
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyInboxStorage,
    SQLAlchemyOutboxStorage,
    SQLAlchemyProjectionStorage,
    SQLAlchemyReadModel,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
    drop_schema,
)
from cqrs_ddd_persistence_sqlalchemy.types import text_type
from cqrs_ddd_projections import Projection, ProjectionContext, ProjectionHandler, on

_KEYS, _TICK = 500, 0.1
_TOTALS = Table(
    "memory_totals",
    MetaData(),
    Column("id", text_type(key=True), primary_key=True),
    Column("count", BigInteger(), nullable=False, default=0),
)


class _ForgetfulPublisher(InMemoryPublisher):
    """Keeps no list of what was published, as it does for tests."""

    async def publish(self, messages: Sequence[OutboxMessage]) -> Sequence[Exception | None]:
        outcomes = await super().publish(messages)
        self.published.clear()
        return outcomes


class Tally(AggregateRoot[str]):
    """Counts."""

    count: int = 0


class TallyRaised(DomainEvent):
    """It counted one further."""

    count: int


class RaiseTally(Command[int]):
    """Count one further."""

    key: str


class MemoryUnitOfWork(SQLAlchemyUnitOfWork):
    """Holds the tallies, and the consumer's copy of them."""

    tallies = repository(Tally, table="memory_tallies")
    copies = repository(Tally, table="memory_copies")


async def _raise(command: RaiseTally, uow: MemoryUnitOfWork) -> int:
    tally = await uow.tallies.get(command.key)
    if tally is None:
        tally = Tally(id=command.key)
        await uow.tallies.add(tally)
    tally.count += 1
    tally.add_event(TallyRaised(count=tally.count))
    return tally.count


async def _copy(event: TallyRaised, uow: MemoryUnitOfWork) -> None:
    key = event.aggregate_id or ""
    copy = await uow.copies.get(key)
    if copy is None:
        copy = Tally(id=key)
        await uow.copies.add(copy)
    copy.count = event.count


class _Totals(ProjectionHandler):
    name = "memory_totals"

    @on(TallyRaised)
    async def raised(self, event: TallyRaised, at: ProjectionContext) -> None:
        await at.write.add("memory_totals", event.aggregate_id or "", {"count": 1})


@dataclass
class _World:
    mediator: Mediator
    outbox: BufferedOutbox
    consumer: BaseEventConsumer
    projection: Projection
    done: int = 0

    async def load(self, rate: int) -> None:
        """Send so many commands a second, for ever; slower when the machine is."""
        began = monotonic()
        while True:
            amount = max(1, round(rate * _TICK))
            keys = [f"k-{number % _KEYS}" for number in range(self.done, self.done + amount)]
            async with asyncio.TaskGroup() as group:
                for key in keys:
                    group.create_task(self._send(key))
            self.done += amount
            await asyncio.sleep(max(0.0, began + self.done / rate - monotonic()))

    async def _send(self, key: str) -> None:
        await self.mediator.send(RaiseTally(key=key))


@asynccontextmanager
async def _opened() -> AsyncGenerator[_World]:
    engine = create_engine(_URL, pool_size=16)
    sessions = create_session_factory(engine)
    outbox = SQLAlchemyOutboxStorage(sessions, table="memory_outbox")
    inbox = SQLAlchemyInboxStorage(sessions, table="memory_inbox")
    events = SQLAlchemyEventStore(sessions, table="memory_events")
    storage = SQLAlchemyProjectionStorage(sessions, table="memory_projections")
    everything: Any = (MemoryUnitOfWork, outbox, inbox, events, storage)

    async def clear() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("DROP VIEW IF EXISTS memory_totals"))
            await connection.execute(text("DROP TABLE IF EXISTS memory_totals_v1"))
        await drop_schema(engine, *everything)

    await clear()
    await create_schema(engine, *everything)
    try:
        yield _wired(sessions, outbox, inbox, events, storage)
    finally:
        await clear()
        await engine.dispose()


def _wired(
    sessions: Any,
    storage: SQLAlchemyOutboxStorage,
    inbox: SQLAlchemyInboxStorage,
    events: SQLAlchemyEventStore,
    projections: SQLAlchemyProjectionStorage,
) -> _World:
    bus = InMemoryMessageBus()
    bus.declare_queue("memory")
    outbox = BufferedOutbox(storage=storage, broker=_ForgetfulPublisher(bus))
    sending, receiving = HandlerRegistry(), HandlerRegistry()
    sending.register_command_handler(RaiseTally, _raise)
    receiving.register_event_handler(TallyRaised, _copy)

    def uow() -> MemoryUnitOfWork:
        return MemoryUnitOfWork(sessions)

    sinks = MiddlewareRegistry([OutboxMiddleware(outbox), EventStorePersistenceMiddleware(events)])
    return _World(
        Mediator(sending, uow, middleware_registry=sinks),
        outbox,
        BaseEventConsumer(
            InMemoryConsumer(bus, "memory"), receiving, name="copy", uow_factory=uow, inbox=inbox
        ),
        Projection(
            _Totals(),
            event_store=events,
            storage=projections,
            read_model=SQLAlchemyReadModel(sessions, _TOTALS),
            uow_factory=uow,
        ),
    )


def _in_use() -> tuple[float, float]:
    """Return the memory of the process and that of Python's objects, in megabytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, tracemalloc.get_traced_memory()[0] / 1e6


async def _run(minutes: int, rate: int) -> None:
    async with _opened() as world:
        worker = Worker([world.outbox, world.consumer, world.projection.worker()])
        async with worker:
            loading = asyncio.create_task(world.load(rate))
            figures: list[tuple[float, float]] = []
            first: tracemalloc.Snapshot | None = None
            for minute in range(1, minutes + 1):
                await asyncio.wait([loading], timeout=60)
                if loading.done():
                    loading.result()
                figures.append(_in_use())
                first = first or tracemalloc.take_snapshot()
                _print_minute(minute, world, figures)
            last = tracemalloc.take_snapshot()
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
        _print_growth(figures, first, last)


def _print_minute(minute: int, world: _World, figures: list[tuple[float, float]]) -> None:
    (rss, traced), (rss_before, traced_before) = figures[-1], figures[-2:][0]
    work = (world.done, world.outbox.relay.published, world.consumer.settled)
    print(
        "minute {:>3}: {:>8,} commands, {:>8,} relayed, {:>8,} consumed; ".format(minute, *work)
        + f"RSS {rss:.1f} MB ({rss - rss_before:+.2f}), "
        f"objects {traced:.2f} MB ({traced - traced_before:+.2f})",
        flush=True,
    )


def _print_growth(
    figures: list[tuple[float, float]],
    first: tracemalloc.Snapshot | None,
    last: tracemalloc.Snapshot,
) -> None:
    spans = max(1, len(figures) - 1)
    rss, traced = (
        (after - before) / spans for before, after in zip(figures[0], figures[-1], strict=True)
    )
    print(f"after the first minute: RSS {rss:+.3f} MB a minute, objects {traced:+.3f} MB a minute")
    if first is not None:
        for line in last.compare_to(first, "lineno")[:8]:
            print(f"  {line}")


def main(
    *,
    minutes: Annotated[int, typer.Option(min=1, help="How long.")] = 5,
    rate: Annotated[int, typer.Option(min=1, help="Commands a second, at most.")] = 100,
) -> None:
    """Run relay, consumer and projection at a steady load, and print the memory in use."""
    tracemalloc.start()
    asyncio.run(_run(minutes, rate))


if __name__ == "__main__":
    typer.run(main)
