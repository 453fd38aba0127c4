"""Short transactions of a storage's own, beside the units of work it joins."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_persistence_sqlalchemy.errors import lost_race
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import engine_of

T = TypeVar("T")
Statements = Callable[[AsyncConnection], Awaitable[T]]
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

    async def _in_transaction(self, work: Statements[T]) -> T:
        """Run ``work`` in a transaction of its own, to its end even when the task is cancelled."""

        async def run() -> T:
            async with self._engine.begin() as connection:
                return await work(connection)

        return await shielded(run())

    async def _in_autocommit(self, work: Statements[T]) -> T:
        """Run a single statement: without BEGIN and COMMIT where the database can do that."""
        if self._dialect.name == "sqlite":
            return await self._in_transaction(work)

        async def run() -> T:
            async with self._engine.connect() as connection:
                return await work(await connection.execution_options(isolation_level="AUTOCOMMIT"))

        return await shielded(run())

    async def _repeated(self, work: Statements[T]) -> T:
        """Run ``work`` in a transaction, again when it lost a race: a deadlock, a busy database."""
        for _ in range(_RACES):
            try:
                return await self._in_transaction(work)
            except DBAPIError as error:
                if not lost_race(error):
                    raise
        return await self._in_transaction(work)
