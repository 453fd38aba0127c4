"""Short transactions of a storage's own, beside the units of work it joins."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy import CursorResult, Dialect, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_persistence_sqlalchemy.engine import READ_ONLY
from cqrs_ddd_persistence_sqlalchemy.errors import lost_race
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import engine_of

T = TypeVar("T")
_RACES = 5  # how often a transaction that lost a race is run again before its error is raised


class OwnTransactions:
    """Runs statements in transactions of their own, to their end even when cancelled."""

    _session_factory: async_sessionmaker[AsyncSession]

    @property
    def _engine(self) -> AsyncEngine:
        return engine_of(self._session_factory)

    @property
    def _dialect(self) -> Dialect:
        return self._engine.dialect

    async def _in_transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run ``work`` in a transaction of its own, to its end even when the task is cancelled."""

        async def run() -> T:
            async with self._engine.begin() as connection:
                return await work(connection)

        return await shielded(run())

    async def _query(self, statement: Executable, values: Any = None) -> CursorResult[Any]:
        """Run one statement, which commits by itself (on SQLite: which reads)."""

        async def work(connection: AsyncConnection) -> CursorResult[Any]:
            return await connection.execute(statement, values)

        return await self._reading(work)

    async def _change(self, statement: Executable) -> int:
        """Run one statement that writes and commits; return how many rows it changed."""

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(statement)).rowcount

        is_sqlite = self._dialect.name == "sqlite"
        return await (self._in_transaction(work) if is_sqlite else self._reading(work))

    async def _reading(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run ``work``, which reads: without BEGIN, or on SQLite without the lock of a writer."""
        options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"}
        if self._dialect.name == "sqlite":
            options = {READ_ONLY: True}

        async def run() -> T:
            async with self._engine.connect() as connection:
                return await work(await connection.execution_options(**options))

        return await shielded(run())

    async def _repeated(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run ``work`` in a transaction, again when it lost a race: a deadlock, a busy database."""
        for _ in range(_RACES):
            try:
                return await self._in_transaction(work)
            except DBAPIError as error:
                if not lost_race(error):
                    raise
        return await self._in_transaction(work)
