"""Relays and readers of the feed are woken by commits of others, on the real server.

What waits here would not look by itself for an hour.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from cqrs_ddd_core import (
    FeedSubscription,
    OutboxMessage,
    StoredEvent,
    StreamId,
    Worker,
    new_id,
    utc_now,
)
from cqrs_ddd_core.cqrs.outbox import BufferedOutbox, RelaySettings
from cqrs_ddd_core.primitives.errors import ConfigurationError
from cqrs_ddd_core.testing import until
from cqrs_ddd_persistence_sqlalchemy import (
    PostgreSQLSignal,
    SignalNotSupportedError,
    SQLAlchemyEventStore,
    SQLAlchemyOutboxStorage,
    create_engine,
    create_schema,
)
from cqrs_ddd_persistence_sqlalchemy.signals.connections import APPLICATION

from .conftest import Sql, opened

LONG, AN_HOUR = 60.0, 3600.0
RARE = RelaySettings(poll_interval=AN_HOUR, shortest_poll=AN_HOUR)
ORDER = StreamId("Order", "o-1")


class Broker:
    def __init__(self) -> None:
        self.arrived: list[str] = []

    async def publish(self, messages: Sequence[OutboxMessage]) -> list[None]:
        self.arrived += [message.message_id for message in messages]
        return [None] * len(messages)


class Process:
    """What one process has: an engine, a signal, an outbox, an event store."""

    def __init__(self, sql: Sql, signal: PostgreSQLSignal | None = None) -> None:
        self.sql, self.broker = sql, Broker()
        self.signal = signal or PostgreSQLSignal(sql.engine)
        self.storage = SQLAlchemyOutboxStorage(sql.session_factory)
        self.outbox = BufferedOutbox(
            storage=self.storage, broker=self.broker, settings=RARE, signal=self.signal
        )
        self.events = SQLAlchemyEventStore(sql.session_factory, signal=self.signal)

    async def save(self) -> str:
        message_id = new_id()
        message = OutboxMessage(
            message_id=message_id, event_type="Saved", payload=b"{}", occurred_at=utc_now()
        )
        async with self.events.unit_of_work() as uow:
            await self.outbox.save_messages([message], uow)
            await uow.commit()
        return message_id

    def has_delivered(self, message_id: str) -> bool:
        return message_id in self.broker.arrived

    async def backends(self) -> list[int]:
        """Return the server's processes behind side connections."""
        query = text(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = :name"
        )
        async with self.sql.engine.connect() as connection:
            return list((await connection.execute(query, {"name": APPLICATION})).scalars())


@pytest.fixture(params=["postgres_url", "postgres_psycopg_url"])
async def url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    async with opened(url) as sql:
        here = Process(sql)
        await create_schema(sql.engine, here.storage, here.events)
    return url


@asynccontextmanager
async def two_processes(url: str) -> AsyncGenerator[tuple[Process, Process]]:
    """Yield one that commits and one that relays; each has heard of the other."""
    async with opened(url) as one, opened(url) as other:
        committing, relaying = Process(one), Process(other)
        async with Worker([committing.signal]), Worker([relaying.signal, relaying.outbox]):
            await until(lambda: relaying.signal.progress.is_idle, LONG)
            await until(lambda: committing.signal.progress.is_idle, LONG)
            first = await committing.save()
            await until(lambda: relaying.has_delivered(first), LONG)
            yield committing, relaying


async def test_a_relay_that_hardly_polls_is_woken_by_a_commit_of_another_process(url: str) -> None:
    async with two_processes(url) as (committing, relaying):
        for _ in range(5):
            saved = await committing.save()
            await until(lambda at=saved: relaying.has_delivered(at), LONG)


async def test_a_reader_of_the_feed_is_woken_by_a_commit_of_another_process(url: str) -> None:
    async with two_processes(url) as (committing, relaying):
        feed = FeedSubscription(relaying.events, min_poll=AN_HOUR, max_poll=AN_HOUR)
        pages = feed.pages()
        for number in range(3):
            waiting = asyncio.ensure_future(anext(pages))
            await committing.events.append(ORDER, [_event(number)])
            async with asyncio.timeout(LONG):
                page = await waiting
            assert [event.event_id for event in page.events] == [f"e-{number}"]
        await pages.aclose()


async def test_a_killed_connection_comes_back_and_what_was_missed_meanwhile_is_read(
    url: str,
) -> None:
    async with two_processes(url) as (committing, relaying):
        before = await committing.backends()
        assert before
        async with committing.sql.engine.connect() as connection:
            for backend in before:
                await connection.execute(text(f"SELECT pg_terminate_backend({backend})"))
        await until(lambda: relaying.signal.progress.last_error is not None, LONG)
        saved = await committing.save()
        await until(lambda: relaying.has_delivered(saved), LONG)
        await until(lambda: committing.signal.progress.is_idle, LONG)
        again = await committing.save()
        await until(lambda: relaying.has_delivered(again), LONG)
        assert not set(before) & set(await committing.backends())


async def test_thousands_of_commits_give_few_notifications(url: str) -> None:
    async with opened(url) as sql, opened(url) as other:
        interval = 0.1
        one = PostgreSQLSignal(sql.engine, min_interval=interval)
        two = PostgreSQLSignal(other.engine)
        async with Worker([one]), Worker([two]):
            await until(lambda: one.progress.is_idle and two.progress.is_idle, LONG)
            quiet, began = two.count, time.monotonic()
            for _ in range(5000):
                one.notify()
                await asyncio.sleep(0)
            await until(lambda: two.count > quiet, LONG)
            most = 1 + (time.monotonic() - began) / interval
        assert 1 <= two.count - quiet <= one.told <= most + 1  # the last one as it ends
        assert two.told == 0  # what is heard is not told again


async def test_the_last_commit_before_the_end_is_told(url: str) -> None:
    async with opened(url) as one, opened(url) as other:
        committing = Process(one, PostgreSQLSignal(one.engine, min_interval=AN_HOUR))
        relaying = Process(other)
        async with Worker([relaying.signal, relaying.outbox]):
            await until(lambda: relaying.signal.progress.is_idle, LONG)
            async with Worker([committing.signal]):
                await until(lambda: committing.signal.progress.is_idle, LONG)
                first = await committing.save()
                await until(lambda: relaying.has_delivered(first), LONG)
                last = await committing.save()
            await until(lambda: relaying.has_delivered(last), LONG)


async def test_commands_go_on_and_polls_deliver_while_the_side_connection_is_away(
    url: str,
) -> None:
    driver = "postgresql+asyncpg" if "asyncpg" in url else "postgresql+psycopg"
    nowhere = create_engine(f"{driver}://postgres@127.0.0.1:1/nowhere")
    async with opened(url) as sql:
        process = Process(sql, PostgreSQLSignal(nowhere))
        broker = Broker()
        polling = BufferedOutbox(storage=process.storage, broker=broker, poll_interval=0.05)
        worker = Worker([process.signal, polling])
        async with worker:
            await until(lambda: process.signal.progress.in_trouble, LONG)
            saved = await process.save()
            await until(lambda: saved in broker.arrived, LONG)
            assert not worker.status().healthy
    await nowhere.dispose()


@pytest.mark.parametrize("other", ["sqlite_url", "mariadb_url"])
async def test_another_database_is_refused(other: str, request: pytest.FixtureRequest) -> None:
    async with opened(request.getfixturevalue(other)) as sql:
        with pytest.raises(SignalNotSupportedError, match="poll") as caught:
            PostgreSQLSignal(sql.engine)
        assert caught.value.database.startswith(sql.engine.dialect.name)


async def test_a_channel_that_is_no_plain_name_is_refused() -> None:
    engine = create_engine("postgresql+asyncpg://localhost/shop")
    for channel in ["", "Shop", 'a"; DROP TABLE outbox; --', "x" * 64]:
        with pytest.raises(ConfigurationError, match="channel"):
            PostgreSQLSignal(engine, channel=channel)


def _event(number: int) -> StoredEvent:
    return StoredEvent(
        event_id=f"e-{number}",
        event_type="Placed",
        stream=ORDER,
        payload=b"{}",
        occurred_at=utc_now(),
    )
