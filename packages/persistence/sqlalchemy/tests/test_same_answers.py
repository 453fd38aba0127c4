"""Random records and random specifications: every database answers as memory does."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from cqrs_ddd_core import InMemoryDatabase, InMemoryUnitOfWork, QueryOptions, repository
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
    metadata_of,
)
from cqrs_ddd_specifications import Specification
from cqrs_ddd_specifications.testing import (
    Specimen,
    full_text_specifications,
    geometry_specifications,
    specifications,
    specimens,
)

from .conftest import DATABASES, Sql

_SETTINGS = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_RECORDS = st.lists(specimens(), max_size=8, unique_by=lambda specimen: specimen.id)


class SqlUnitOfWork(SQLAlchemyUnitOfWork):
    specimens = repository(Specimen)


class MemoryUnitOfWork(InMemoryUnitOfWork):
    specimens = repository(Specimen)


_TABLE = metadata_of(SqlUnitOfWork).tables["specimens"]


@pytest.fixture(params=DATABASES)
async def database(request: pytest.FixtureRequest) -> AsyncIterator[Sql]:
    fixture = f"module_{request.param}".replace("_psycopg", "")
    url: str = request.getfixturevalue(fixture)
    if "psycopg" in request.param:
        url = url.replace("asyncpg", "psycopg")
    engine = create_engine(url)
    await create_schema(engine, SqlUnitOfWork)
    yield Sql(url, engine, create_session_factory(engine))
    await engine.dispose()


async def _compare(
    database: Sql, records: list[Specimen], questions: list[Specification | QueryOptions]
) -> None:
    """Ask memory and the database the same questions about the same records."""
    memory = InMemoryDatabase()
    async with SqlUnitOfWork(database.session_factory) as uow:
        await uow.execute(delete(_TABLE))
    async with MemoryUnitOfWork(memory) as ours, SqlUnitOfWork(database.session_factory) as theirs:
        for record in records:
            await ours.specimens.add(record.model_copy(deep=True))
            await theirs.specimens.add(record.model_copy(deep=True))
    async with MemoryUnitOfWork(memory) as ours, SqlUnitOfWork(database.session_factory) as theirs:
        for question in questions:
            expected = await _answer(ours, question)
            assert await _answer(theirs, question) == expected, question


async def _answer(uow: Any, question: Specification | QueryOptions) -> Any:
    result = await uow.specimens.search(question)
    items = await result
    if isinstance(question, QueryOptions):
        return [_plain(item) for item in items], await result.total_count()
    return sorted(item.id for item in items)


def _plain(item: Any) -> Any:
    return item.id if isinstance(item, Specimen) else item


@_SETTINGS
@given(records=_RECORDS, questions=st.lists(specifications(), min_size=1, max_size=6))
async def test_every_database_finds_what_memory_finds(
    database: Sql, records: list[Specimen], questions: list[Specification | QueryOptions]
) -> None:
    await _compare(database, records, questions)


@_SETTINGS
@given(records=_RECORDS, questions=st.lists(full_text_specifications(), min_size=1, max_size=4))
async def test_every_database_finds_the_same_words(
    database: Sql, records: list[Specimen], questions: list[Specification | QueryOptions]
) -> None:
    await _compare(database, records, questions)


@_SETTINGS
@given(records=_RECORDS, data=st.data())
async def test_databases_with_geometry_find_the_same_places(
    database: Sql, records: list[Specimen], data: st.DataObject
) -> None:
    if database.is_postgres:
        pytest.skip("PostgreSQL needs PostGIS for geometry, which this server does not have")
    operators = _WITHOUT_BOUNDARIES if database.is_mariadb else None
    questions = data.draw(
        st.lists(geometry_specifications(operators=operators), min_size=1, max_size=4)
    )
    await _compare(database, records, list(questions))


# MariaDB has its own mind about whether a boundary belongs to a shape.
_WITHOUT_BOUNDARIES = ["intersects", "disjoint", "bbox_intersects", "distance_lt", "dwithin"]
_ORDERABLE = [
    "name",
    "note",
    "quantity",
    "stock",
    "weight",
    "price",
    "active",
    "shipped_at",
    "due",
    "reference",
    "kind",
    "address.city",
    "address.zip",
    "address.number",
    "id",
]
_orderings = st.lists(
    st.tuples(st.sampled_from(["", "-"]), st.sampled_from(_ORDERABLE)).map("".join),
    min_size=1,
    max_size=3,
    unique_by=lambda entry: entry.removeprefix("-"),
)


@st.composite
def _pages(draw: st.DrawFn) -> QueryOptions:
    options = QueryOptions().with_ordering(*draw(_orderings))
    options = options.with_pagination(
        limit=draw(st.none() | st.integers(0, 9)), offset=draw(st.integers(0, 4))
    )
    if draw(st.booleans()):
        options = options.with_specification(draw(specifications(max_leaves=2)))
    if draw(st.booleans()):
        fields = draw(st.lists(st.sampled_from(_ORDERABLE), min_size=1, max_size=4, unique=True))
        options = options.with_fields(["id", *(name for name in fields if name != "id")])
    return options


@_SETTINGS
@given(records=_RECORDS, pages=st.lists(_pages(), min_size=1, max_size=4))
async def test_every_database_orders_and_pages_as_memory_does(
    database: Sql, records: list[Specimen], pages: list[Specification | QueryOptions]
) -> None:
    await _compare(database, records, pages)
