"""From a commit in one process to the broker of a relay in another: woken, beside polling."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from statistics import quantiles
from time import perf_counter
from typing import Any

from benchmarks.harness import Pair, case
from benchmarks.unit_of_work import _URL  # pyright: ignore[reportPrivateUsage]
from cqrs_ddd_core import OutboxMessage, Worker, new_id
from cqrs_ddd_core.cqrs.outbox import BufferedOutbox
from cqrs_ddd_persistence_sqlalchemy import (
    PostgreSQLSignal,
    SQLAlchemyOutboxStorage,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
    drop_schema,
)

_COMMITS, _PAUSE = 40, (0.2, 0.6)  # so rare that the pauses between polls have grown


class TimingBroker:
    """Notes when a message came."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}

    async def publish(self, messages: Sequence[OutboxMessage]) -> list[Exception | None]:
        """Note each of ``messages``."""
        now = perf_counter()
        self.arrived.update((message.message_id, now) for message in messages)
        return [None] * len(messages)


class _Process:
    """What one process would have: an engine, an outbox on it, and a signal."""

    def __init__(self, broker: TimingBroker) -> None:
        self.engine = create_engine(_URL)
        self.sessions = create_session_factory(self.engine)
        self.storage = SQLAlchemyOutboxStorage(self.sessions, table="bench_wake_up")
        self.signal = PostgreSQLSignal(self.engine)
        self.woken = BufferedOutbox(storage=self.storage, broker=broker, signal=self.signal)
        self.polling = BufferedOutbox(storage=self.storage, broker=broker)

    async def commit(self, outbox: BufferedOutbox) -> tuple[str, float]:
        """Save a message; return its id and when it was committed."""
        message = OutboxMessage(
            message_id=new_id(), event_type="B", payload=b"{}", occurred_at=datetime.now(UTC)
        )
        async with SQLAlchemyUnitOfWork(self.sessions) as uow:
            await outbox.save_messages([message], uow)
            await uow.commit()
        return message.message_id, perf_counter()


async def _waits(broker: TimingBroker, one: _Process, outbox: BufferedOutbox) -> list[float]:
    """Commit now and then; return how long each message took."""
    chance, committed = random.Random(7), dict[str, float]()
    for _ in range(_COMMITS):
        message_id, at = await one.commit(outbox)
        committed[message_id] = at
        await asyncio.sleep(chance.uniform(*_PAUSE))
    while not committed.keys() <= broker.arrived.keys():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    return [max(0.0, broker.arrived[key] - at) for key, at in committed.items()]


async def _pair(rank: int) -> AsyncGenerator[Pair]:
    broker = TimingBroker()
    one, other = _Process(broker), _Process(broker)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(one.engine.dispose)
        stack.push_async_callback(other.engine.dispose)
        await drop_schema(one.engine, one.storage)
        await create_schema(one.engine, one.storage)
        stack.push_async_callback(drop_schema, one.engine, one.storage)

        async def ours() -> float:
            async with Worker([one.signal]), Worker([other.signal, other.woken]):
                return quantiles(await _waits(broker, one, one.woken), n=100)[rank - 1]

        async def twin() -> float:
            async with Worker([other.polling]):
                return quantiles(await _waits(broker, one, one.polling), n=100)[rank - 1]

        yield Pair(ours=ours, twin=twin, measures=True)


@case("wake_up", "outbox.other_process.p50", unit="ms", better="lower", rounds=1)
async def median_wait() -> AsyncGenerator[Pair, Any]:
    """Woken by NOTIFY; the twin is the same relay, which polls."""
    async for pair in _pair(50):
        yield pair


@case("wake_up", "outbox.other_process.p95", unit="ms", better="lower", rounds=1)
async def tail_wait() -> AsyncGenerator[Pair, Any]:
    """The same, the slowest of twenty."""
    async for pair in _pair(95):
        yield pair
