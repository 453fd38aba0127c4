"""The connections of a signal, as each driver of PostgreSQL has them."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

APPLICATION = "cqrs-ddd signal"  # to be seen in pg_stat_activity
_GONE = "the server has closed the connection"


class SideConnection(ABC):
    """Sends notifications on one channel, and hears those of others.

    Args:
        channel: its name, fit for SQL as it is.
        heard: called for each notification of another connection.
    """

    def __init__(self, channel: str, heard: Callable[[], None]) -> None:
        self._channel, self._heard = channel, heard

    @abstractmethod
    async def tell(self) -> None:
        """Send a notification."""

    @abstractmethod
    async def hear(self) -> None:
        """Hear notifications for ever.

        Raises:
            Exception: the connection is gone.
        """


class AsyncpgConnection(SideConnection):
    """One connection for both."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, engine: AsyncEngine, channel: str, heard: Callable[[], None]
    ) -> AsyncGenerator[SideConnection]:
        """Connect, and listen until the end of the block."""
        async with _own_connection(engine) as driver:
            opened = cls(channel, heard)
            opened._driver, opened._gone = driver, asyncio.Event()
            own = driver.get_server_pid()

            def notified(_: Any, sender: int, *__: Any) -> None:
                if sender != own:
                    heard()

            def terminated(_: Any) -> None:
                opened._gone.set()

            driver.add_termination_listener(terminated)
            await driver.add_listener(channel, notified)
            yield opened

    _driver: Any
    _gone: asyncio.Event

    async def tell(self) -> None:
        """Send a notification."""
        await self._driver.execute(f"NOTIFY {self._channel}")

    async def hear(self) -> None:
        """Hear notifications until the connection is gone."""
        await self._gone.wait()
        raise ConnectionError(_GONE)


class PsycopgConnection(SideConnection):
    """One connection to hear and one to tell, for one that listens can do nothing else."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, engine: AsyncEngine, channel: str, heard: Callable[[], None]
    ) -> AsyncGenerator[SideConnection]:
        """Connect, and listen until the end of the block."""
        async with _own_connection(engine) as listening, _own_connection(engine) as telling:
            opened = cls(channel, heard)
            opened._listening, opened._telling = listening, telling
            await listening.execute(f"LISTEN {channel}")
            yield opened

    _listening: Any
    _telling: Any

    async def tell(self) -> None:
        """Send a notification."""
        await self._telling.execute(f"NOTIFY {self._channel}")

    async def hear(self) -> None:
        """Hear notifications until the connection is gone."""
        own = self._telling.info.backend_pid
        async with aclosing(self._listening.notifies()) as notifications:
            async for notification in notifications:
                if notification.pid != own:
                    self._heard()
        raise ConnectionError(_GONE)


@asynccontextmanager
async def _own_connection(engine: AsyncEngine) -> AsyncGenerator[Any]:
    """Connect as the engine does, outside of its pool; yield the driver's connection."""
    connection = await engine.connect()
    driver: Any = None
    try:
        driver = (await connection.get_raw_connection()).driver_connection
        await connection.run_sync(lambda sync: sync.detach())
        if hasattr(driver, "set_autocommit"):
            await driver.set_autocommit(True)
        await driver.execute(f"SET application_name = '{APPLICATION}'")
        yield driver
    finally:
        with suppress(Exception):  # of one that is gone already
            if driver is not None:  # SQLAlchemy leaves one of psycopg open once it is detached
                await driver.close()
            await connection.close()
