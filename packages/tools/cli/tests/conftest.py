"""An application with real messages on every kind of storage, and the command pointed at it."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner, Result

from cqrs_ddd_advanced_core.background_jobs import InMemoryBackgroundJobRepository
from cqrs_ddd_advanced_core.sagas import InMemorySagaRepository
from cqrs_ddd_cli.main import app
from cqrs_ddd_core import (
    InMemoryInboxStorage,
    InMemoryOutboxStorage,
    OutboxMessage,
    utc_now,
)
from cqrs_ddd_core.cqrs.outbox import OutboxService
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyBackgroundJobRepository,
    SQLAlchemyInboxStorage,
    SQLAlchemyOutboxStorage,
    SQLAlchemySagaRepository,
    create_engine,
    create_schema,
    create_session_factory,
)

T = TypeVar("T")
MODULE = "shop_under_test"


@dataclass
class Broker:
    """Takes messages, but for some keys."""

    away_for: set[str] = field(default_factory=set[str])
    delivered: list[str] = field(default_factory=list[str])

    async def publish(self, messages: Sequence[OutboxMessage]) -> list[Exception | None]:
        outcomes: list[Exception | None] = []
        for message in messages:
            fails = message.partition_key in self.away_for
            outcomes.append(ValueError("the queue [orders] refused it") if fails else None)
            if not fails:
                self.delivered.append(message.message_id)
        return outcomes


@dataclass
class Shop:
    """An application, seen by a test and by the command.

    Attributes:
        open: opens its storage in the event loop that runs.
        target: how the command is pointed at it.
    """

    open: Callable[[], Any]
    target: list[str]
    broker: Broker = field(default_factory=Broker)

    def do(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do something with the open application."""

        async def run() -> T:
            async with self.open() as shop:
                return await work(shop)

        return asyncio.run(run())

    def saves(self, *messages: tuple[str, str, str], age: timedelta = timedelta(0)) -> None:
        """Save messages: id, type and key of each."""
        rows = [message(*each, age) for each in messages]
        self.do(lambda shop: shop.outbox.save_messages(rows))

    def relays(self, *, away_for: Sequence[str] = ()) -> None:
        """Have everything delivered that can be; what fails is a dead letter at once."""
        self.do(lambda shop: self.deliver(shop.outbox, away_for))

    async def deliver(self, outbox: Any, away_for: Sequence[str] = ()) -> None:
        self.broker.away_for = set(away_for)
        async with OutboxService(outbox, self.broker, max_retries=0) as service:
            await service.drain()
            await service.drain()  # what waited behind a discarded message

    def run(self, *arguments: str, answer: str | None = None) -> Result:
        """Run the command on this application, as a person types it."""
        return CliRunner().invoke(app, [*arguments, *self.target], input=answer)


def message(message_id: str, event_type: str, key: str, age: timedelta) -> OutboxMessage:
    return OutboxMessage(
        message_id=message_id,
        event_type=event_type,
        partition_key=key,
        payload=b"{}",
        occurred_at=utc_now() - age,
    )


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    for name in ("CQRS_DDD_APP", "CQRS_DDD_DATABASE", "CQRS_DDD_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the user's, which ``--app`` finds."""
    module = ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)
    return module


def sql_shop(url: str) -> Shop:
    @asynccontextmanager
    async def open_shop(*, new: bool = False) -> AsyncGenerator[Any]:
        engine = create_engine(url)
        session_factory = create_session_factory(engine)
        outbox = SQLAlchemyOutboxStorage(session_factory, archive=True)
        inbox = SQLAlchemyInboxStorage(session_factory)
        jobs = SQLAlchemyBackgroundJobRepository(session_factory)
        timers = SQLAlchemyBackgroundJobRepository(session_factory, table="timers")
        sagas = SQLAlchemySagaRepository(session_factory)
        if new:
            await create_schema(engine, outbox, inbox, jobs, timers, sagas)
        yield SimpleNamespace(outbox=outbox, inbox=inbox, jobs=jobs, timers=timers, sagas=sagas)
        await engine.dispose()

    async def make_tables() -> None:
        async with open_shop(new=True):
            pass

    asyncio.run(make_tables())
    return Shop(open_shop, ["--database", url])


@pytest.fixture
def memory_shop(module: ModuleType) -> Shop:
    storage = SimpleNamespace(
        outbox=InMemoryOutboxStorage(archive=True),
        inbox=InMemoryInboxStorage(),
        jobs=InMemoryBackgroundJobRepository(),
        timers=InMemoryBackgroundJobRepository(),
        sagas=InMemorySagaRepository(),
    )

    @asynccontextmanager
    async def open_shop() -> AsyncGenerator[Any]:
        yield storage

    vars(module)["open_shop"] = open_shop
    return Shop(open_shop, ["--app", f"{MODULE}:open_shop"])


@pytest.fixture(params=["memory_shop", "sqlite_url", "postgres_url"])
def shop(request: pytest.FixtureRequest) -> Shop:
    found: Shop | str = request.getfixturevalue(request.param)
    return found if isinstance(found, Shop) else sql_shop(found)


@pytest.fixture
def sqlite_shop(sqlite_url: str) -> Shop:
    return sql_shop(sqlite_url)
