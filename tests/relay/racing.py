"""The process of the race test: a relay in a worker, until a signal."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_core import OutboxMessage, RetryPolicy
from cqrs_ddd_core.cqrs.outbox import BufferedOutbox, RelaySettings
from cqrs_ddd_core.runtime import Worker
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyOutboxStorage,
    create_engine,
    create_session_factory,
)
from tests.killing import tell
from tests.relay.shop import FileBroker

T = TypeVar("T")
SLOW, POISON = "slow", "poison"
POISONED_AT = 3
SETTINGS = RelaySettings(
    batch_size=50,
    max_held=200,
    lease=1.0,
    slow_after=0.1,
    poll_interval=0.05,
    redrive_poll=0.05,
    longest_outage_pause=0.2,
    retries=RetryPolicy(max_attempts=2, base_delay=0.01, max_delay=0.02),
)


class MoodyBroker(FileBroker):
    """Away while there is a file ``away``, poisoned until there is one ``healed``, slow for a key.

    Each process that finds it away says so with a file ``missed-<pid>``.
    Where there is a file ``hold``, the first process that publishes takes it and stops itself.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "broker")
        self._folder = folder

    async def publish(self, messages: Sequence[OutboxMessage]) -> list[Exception | None]:
        outcomes: list[Exception | None] = []
        poisoned = False
        for message in messages:
            await self._hold()
            if (self._folder / "away").exists():
                (self._folder / f"missed-{os.getpid()}").touch()
                raise ConnectionError("the broker is away")
            number = int(message.headers["number"])
            if message.partition_key == SLOW:
                await asyncio.sleep(0.01)
            if message.partition_key == POISON and number == POISONED_AT:
                poisoned = not (self._folder / "healed").exists()
            if message.partition_key == POISON and poisoned:
                outcomes.append(ValueError("poison"))
                continue
            self.append(message)
            outcomes.append(None)
        return outcomes

    async def _hold(self) -> None:
        """Stop this process, as a debugger or a frozen machine would, while no lock is held."""
        hold = self._folder / "hold"
        while hold.exists():
            if not Storage.transactions:
                with suppress(FileNotFoundError):  # another process was faster
                    hold.rename(self._folder / f"held-{os.getpid()}")
                    os.kill(os.getpid(), signal.SIGSTOP)
            await asyncio.sleep(0.001)


class Storage(SQLAlchemyOutboxStorage):
    """Counts the transactions that are open."""

    transactions = 0

    async def _in_transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        Storage.transactions += 1
        try:
            return await super()._in_transaction(work)
        finally:
            Storage.transactions -= 1


class _ToParent(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell(f"log {record.getMessage()}")


async def _relay(url: str, folder: Path) -> None:
    engine = create_engine(url)
    storage = Storage(create_session_factory(engine))
    outbox = BufferedOutbox(storage=storage, broker=MoodyBroker(folder), settings=SETTINGS)
    tell(f"exit {await Worker([outbox]).serve()}")
    await engine.dispose()


def relay(url: str, folder: Path) -> None:
    """Relay until a signal; report what is logged, and the exit code."""
    logging.basicConfig(handlers=[_ToParent()], level=logging.WARNING, force=True)
    asyncio.run(_relay(url, folder))
