"""One empty database of each kind, with the schema that a test asks for."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from cqrs_ddd_persistence_sqlalchemy import create_engine, create_session_factory

SERVERS = ["postgres_url", "postgres_psycopg_url", "mariadb_url"]
DATABASES = ["sqlite_url", *SERVERS]


@dataclass(frozen=True)
class Sql:
    """An empty database."""

    url: str
    engine: AsyncEngine
    session_factory: async_sessionmaker[AsyncSession]

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def is_mariadb(self) -> bool:
        return self.engine.dialect.name == "mysql"

    @property
    def is_postgres(self) -> bool:
        return self.engine.dialect.name == "postgresql"


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncGenerator[Sql]:
    engine = create_engine(url, **options)
    yield Sql(url, engine, create_session_factory(engine))
    await engine.dispose()


@pytest.fixture(params=DATABASES)
async def sql(request: pytest.FixtureRequest) -> AsyncIterator[Sql]:
    async with opened(request.getfixturevalue(request.param)) as found:
        yield found


@pytest.fixture(params=SERVERS)
async def sql_server(request: pytest.FixtureRequest) -> AsyncIterator[Sql]:
    """A database on which several transactions are open at once, which SQLite does not have."""
    async with opened(request.getfixturevalue(request.param)) as found:
        yield found


@pytest.fixture
async def postgres_sql(postgres_url: str) -> AsyncIterator[Sql]:
    async with opened(postgres_url) as found:
        yield found


@pytest.fixture
async def mariadb_sql(mariadb_url: str) -> AsyncIterator[Sql]:
    async with opened(mariadb_url) as found:
        yield found


@pytest.fixture
async def sqlite_sql(sqlite_url: str) -> AsyncIterator[Sql]:
    async with opened(sqlite_url) as found:
        yield found
