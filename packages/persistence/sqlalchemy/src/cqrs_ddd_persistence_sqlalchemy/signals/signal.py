"""A signal of commits that reaches other processes, by NOTIFY on a connection of its own."""

import asyncio
import re

from sqlalchemy.ext.asyncio import AsyncEngine

from cqrs_ddd_core.ports import FeedSignal
from cqrs_ddd_core.ports.worker_part import Progress
from cqrs_ddd_core.primitives.clock import current_clock
from cqrs_ddd_core.primitives.error_text import leaves_of
from cqrs_ddd_core.primitives.errors import ConfigurationError
from cqrs_ddd_core.runtime.waiting import is_set_within
from cqrs_ddd_persistence_sqlalchemy.signals.connections import (
    AsyncpgConnection,
    PsycopgConnection,
    SideConnection,
)

_CONNECTIONS: dict[str, type[AsyncpgConnection] | type[PsycopgConnection]] = {
    "asyncpg": AsyncpgConnection,
    "psycopg": PsycopgConnection,
}
_CHANNEL = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class SignalNotSupportedError(ConfigurationError):
    """A signal between processes was asked of a database or a driver that has none.

    Attributes:
        database: dialect and driver.
    """

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(
            f"PostgreSQLSignal works on postgresql+asyncpg and postgresql+psycopg, not on "
            f"{database}. Leave it out: relays and readers of the feed poll."
        )


class PostgreSQLSignal(FeedSignal):
    """Tells relays and readers of the feed in other processes that this one has committed.

    Give it to ``BufferedOutbox`` and ``SQLAlchemyEventStore`` and run it as a part of a
    ``Worker``, in processes that commit and in those that wait. After a commit, never in its
    transaction, it sends NOTIFY on a connection of its own, at most once in ``min_interval``. It
    saves the wait for the next poll, nothing more: while the connection is away, commits go on,
    and who waits polls.

    Args:
        engine: the database; its pool is not used. Behind PgBouncer, one that goes past it.
        channel: the name that processes share; one a database is enough.
        min_interval: seconds between two notifications of this process, at least.
        name: what the part is called.

    Attributes:
        told: notifications that were sent.

    Raises:
        SignalNotSupportedError: the database is not PostgreSQL, or by another driver.
        ConfigurationError: the channel is no plain lower-case name.

    Example:
        >>> from cqrs_ddd_persistence_sqlalchemy import create_engine
        >>> engine = create_engine("postgresql+asyncpg://localhost/shop")
        >>> PostgreSQLSignal(engine, min_interval=0.1).name
        'commit signal'
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        channel: str = "cqrs_ddd_commits",
        min_interval: float = 0.02,
        name: str = "commit signal",
    ) -> None:
        super().__init__()
        dialect = engine.dialect
        if dialect.name != "postgresql" or dialect.driver not in _CONNECTIONS:
            raise SignalNotSupportedError(f"{dialect.name}+{dialect.driver}")
        if not _CHANNEL.fullmatch(channel):
            raise ConfigurationError(
                f"{channel!r} is no name of a channel; use up to 63 lower-case letters, digits "
                "and underscores."
            )
        self.name, self.progress, self.told = name, Progress(), 0
        self._engine, self._channel, self._min_interval = engine, channel, min_interval
        self._untold = asyncio.Event()

    def notify(self) -> None:
        """Tell of a commit: here at once, elsewhere soon."""
        super().notify()
        self._untold.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Tell and hear until ``stopping`` is set; connect again whenever the connection is lost.

        The last commits before the end are told, too.
        """
        pause = _FIRST_PAUSE
        open_connection = _CONNECTIONS[self._engine.dialect.driver].open
        while not stopping.is_set():
            try:
                async with open_connection(self._engine, self._channel, super().notify) as side:
                    super().notify()  # others may have told meanwhile
                    self.progress.idle()
                    pause = _FIRST_PAUSE
                    await self._work(side, stopping)
            except Exception as error:  # noqa: BLE001 - whatever it is, who waits polls
                self.progress.trouble(next(iter(leaves_of(error))))
                await is_set_within(stopping, pause)
                pause = min(_LONGEST_PAUSE, pause * 2)

    async def _work(self, side: SideConnection, stopping: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(side.hear()), group.create_task(self._tell(side))]
            await stopping.wait()
            for task in tasks:
                task.cancel()
        if self._untold.is_set():
            await side.tell()

    async def _tell(self, side: SideConnection) -> None:
        while True:
            await self._untold.wait()
            self._untold.clear()
            try:
                await side.tell()
            except BaseException:
                self._untold.set()
                raise
            self.told += 1
            await current_clock().sleep(self._min_interval)
