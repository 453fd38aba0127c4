"""Operators that not every database has: what they answer, and what is said where they lack."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from cqrs_ddd_core import AggregateRoot, repository
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyUnitOfWork,
    create_schema,
    create_session_factory,
)
from cqrs_ddd_specifications import AttributeSpecification, Operator, UnsupportedOperatorError
from cqrs_ddd_specifications.operators import DISTANCE_OPERATORS, GEOMETRY_OPERATORS

from .conftest import Sql, opened


class Place(AggregateRoot[str]):
    name: str = ""
    shape: dict[str, Any] | None = None


class Visit(BaseModel):
    at: datetime


class Trip(AggregateRoot[str]):
    visit: Visit


class MapUnitOfWork(SQLAlchemyUnitOfWork):
    places = repository(Place)
    trips = repository(Trip)


def _square(x: float, y: float, size: float) -> dict[str, Any]:
    corners = [(x, y), (x + size, y), (x + size, y + size), (x, y + size), (x, y)]
    return {"type": "Polygon", "coordinates": [[list(corner) for corner in corners]]}


def _line(*points: tuple[float, float]) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": [list(point) for point in points]}


def _point(x: float, y: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [x, y]}


# The shape that is asked about is the square from (0, 0) to (10, 10); no answer hangs on whether
# a boundary belongs to a shape.
ASKED = _square(0, 0, 10)
PLACES: dict[str, dict[str, Any] | None] = {
    "point inside": _point(5, 5),
    "point far": _point(50, 50),
    "point near": _point(13, 5),
    "small inside": _square(2, 2, 3),
    "large around": _square(-5, -5, 30),
    "same": _square(0, 0, 10),
    "overlapping": _square(5, 5, 10),
    "touching": _square(10, 0, 5),
    "far": _square(100, 100, 5),
    "line through": _line((-5, 5), (15, 5)),
    "unknown": None,
}
INSIDE = {"point inside", "small inside", "same"}
MEETING = {*INSIDE, "large around", "overlapping", "touching", "line through"}
ANSWERS: dict[Operator, set[str]] = {
    Operator.INTERSECTS: MEETING,
    Operator.BBOX_INTERSECTS: MEETING,
    Operator.WITHIN: INSIDE,
    Operator.CONTAINS_GEOM: {"large around", "same"},
    Operator.TOUCHES: {"touching"},
    Operator.CROSSES: {"line through"},
    Operator.OVERLAPS: {"overlapping"},
    Operator.DISJOINT: {"point far", "point near", "far"},
    Operator.GEOM_EQUALS: {"same"},
    Operator.DISTANCE_LT: {*MEETING, "point near"},
    Operator.DWITHIN: {*MEETING, "point near"},
}


async def _filled(sql: Sql) -> Sql:
    await create_schema(sql.engine, MapUnitOfWork)
    async with MapUnitOfWork(sql.session_factory) as uow:
        for name, shape in PLACES.items():
            await uow.places.add(Place(id=name, name=name, shape=shape))
    return sql


@pytest.fixture
async def places(sql: Sql) -> Sql:
    return await _filled(sql)


@pytest.fixture(params=["sqlite_url", "mariadb_url"])
async def shapes(request: pytest.FixtureRequest) -> AsyncIterator[Sql]:
    """The places, on a database that always has geometry."""
    async with opened(request.getfixturevalue(request.param)) as sql:
        yield await _filled(sql)


@pytest.fixture(params=["postgres_url", "postgres_psycopg_url"])
async def postgres_shapes(request: pytest.FixtureRequest) -> AsyncIterator[Sql]:
    """The places, on a database that has geometry when PostGIS is installed."""
    async with opened(request.getfixturevalue(request.param)) as sql:
        yield await _filled(sql)


async def _found(sql: Sql, attr: str, operator: Operator, operand: Any) -> set[str]:
    asked = AttributeSpecification(attr, operator, operand)
    async with MapUnitOfWork(sql.session_factory) as uow:
        return {place.id for place in await (await uow.places.search(asked))}


def test_every_geometry_operator_has_an_answer() -> None:
    assert set(ANSWERS) == set(GEOMETRY_OPERATORS)


async def _has_postgis(sql: Sql) -> bool:
    async with sql.engine.connect() as connection:
        found = await connection.execute(text("SELECT 1 FROM pg_proc WHERE proname = 'st_within'"))
        return found.first() is not None


def _operand(operator: Operator) -> Any:
    return (ASKED, 4.0) if operator in DISTANCE_OPERATORS else ASKED


@pytest.mark.parametrize("operator", ANSWERS, ids=lambda operator: operator.value)
async def test_shapes_are_found_where_the_database_has_geometry(
    shapes: Sql, operator: Operator
) -> None:
    assert await _found(shapes, "shape", operator, _operand(operator)) == ANSWERS[operator]


async def test_shapes_are_found_with_postgis_and_without_it_is_said_what_to_install(
    postgres_shapes: Sql,
) -> None:
    has_postgis = await _has_postgis(postgres_shapes)
    for operator, expected in ANSWERS.items():
        if has_postgis:
            found = await _found(postgres_shapes, "shape", operator, _operand(operator))
            assert found == expected
            continue
        with pytest.raises(UnsupportedOperatorError, match="CREATE EXTENSION postgis") as refusal:
            await _found(postgres_shapes, "shape", operator, _operand(operator))
        assert refusal.value.operator == operator.value
        assert refusal.value.where == "without PostGIS"


async def test_every_way_to_ask_says_the_same(postgres_shapes: Sql) -> None:
    if await _has_postgis(postgres_shapes):
        pytest.skip("this PostgreSQL has PostGIS")
    inside = AttributeSpecification("shape", Operator.WITHIN, ASKED)
    nested = ~(inside | AttributeSpecification("name", Operator.EQ, "far"))
    for ask in ("fetch", "stream", "count"):
        uow = MapUnitOfWork(postgres_shapes.session_factory)
        with pytest.raises(UnsupportedOperatorError, match="'within' is not available"):
            await _ask(uow, nested, ask)
        await uow.close()


async def _ask(uow: MapUnitOfWork, specification: Any, way: str) -> None:
    result = await uow.places.search(specification)
    if way == "fetch":
        await result
    elif way == "count":
        await result.total_count()
    else:
        async for _ in result.stream():
            pass


# -- regular expressions and words -------------------------------------------------------------


async def test_regular_expressions_and_words_are_found_on_every_database(places: Sql) -> None:
    assert await _found(places, "name", Operator.REGEX, "^(small|point) ") == {
        name for name in PLACES if name.startswith(("small ", "point "))
    }
    assert await _found(places, "name", Operator.IREGEX, "^FAR$") == {"far"}
    inside = {"point inside", "small inside"}
    assert await _found(places, "name", Operator.FTS, "inside") == inside
    assert await _found(places, "name", Operator.FTS_PHRASE, "line through") == {"line through"}


async def test_a_pattern_that_the_database_does_not_understand_is_typed(places: Sql) -> None:
    pattern = r"(?P<word>far)(?P=word)?(?<=far)"  # Python's names for groups
    if places.is_sqlite:
        assert await _found(places, "name", Operator.REGEX, pattern) == {"far", "point far"}
    elif places.is_postgres:
        with pytest.raises(UnsupportedOperatorError, match="Write the pattern as the database"):
            await _found(places, "name", Operator.REGEX, pattern)


async def test_a_time_inside_json_is_compared_or_refused_by_name(places: Sql) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    since = AttributeSpecification("visit.at", Operator.GE, at)
    async with MapUnitOfWork(places.session_factory) as uow:
        await uow.trips.add(Trip(id="t", visit=Visit(at=at)))
    async with MapUnitOfWork(places.session_factory) as uow:
        if places.is_mariadb:
            with pytest.raises(UnsupportedOperatorError, match=r"Make visit\.at a field"):
                await (await uow.trips.search(since))
        else:
            assert [trip.id for trip in await (await uow.trips.search(since))] == ["t"]


async def test_an_engine_without_the_toolkits_functions_is_told_how_to_be_made(
    sqlite_sql: Sql,
) -> None:
    await create_schema(sqlite_sql.engine, MapUnitOfWork)
    engine = create_async_engine(sqlite_sql.url)
    plain = Sql(sqlite_sql.url, engine, create_session_factory(engine))
    with pytest.raises(UnsupportedOperatorError, match="Make it by create_engine"):
        await _found(plain, "name", Operator.CONTAINS, "far")
    await engine.dispose()
