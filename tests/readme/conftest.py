"""The library's unit of work in memory and on SQLite."""

from collections.abc import AsyncIterator, Callable

import pytest

from cqrs_ddd_core import InMemoryDatabase
from cqrs_ddd_persistence_sqlalchemy import create_engine, create_schema, create_session_factory
from tests.readme.library import LibraryInMemory, LibraryOnSql

UowFactory = Callable[[], LibraryInMemory | LibraryOnSql]


@pytest.fixture(params=["memory", "sqlite"])
async def uow_factory(request: pytest.FixtureRequest) -> AsyncIterator[UowFactory]:
    if request.param == "memory":
        database = InMemoryDatabase()
        yield lambda: LibraryInMemory(database)
        return
    engine = create_engine(request.getfixturevalue("sqlite_url"))
    await create_schema(engine, LibraryOnSql)
    session_factory = create_session_factory(engine)
    yield lambda: LibraryOnSql(session_factory)
    await engine.dispose()
