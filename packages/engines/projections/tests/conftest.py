"""A shop on every kind of store."""

from collections.abc import AsyncIterator

import pytest

from .shop import Shop, memory_shop, sql_shop


@pytest.fixture(params=["memory", "sqlite_url", "postgres_url", "mariadb_url"])
async def shop(request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    if request.param == "memory":
        yield memory_shop()
        return
    found, engine = await sql_shop(request.getfixturevalue(request.param))
    yield found
    await engine.dispose()


@pytest.fixture
def quick_shop() -> Shop:
    """A shop in memory, for what is the same on every store."""
    return memory_shop()
