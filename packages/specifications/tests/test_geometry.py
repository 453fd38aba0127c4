"""Geometry operators on GeoJSON, in the plane."""

import sys
from typing import Any

import pytest

from cqrs_ddd_core import ValueObject
from cqrs_ddd_specifications import (
    AttributeSpecification,
    OperandError,
    Specification,
    SpecificationFactory,
    UnsupportedOperatorError,
)
from cqrs_ddd_specifications.operators import GEOMETRY_OPERATORS

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]}
SQUARE_FROM_ANOTHER_CORNER = {
    "type": "Polygon",
    "coordinates": [[[4, 4], [0, 4], [0, 0], [4, 0], [4, 4]]],
}
TRIANGLE = {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [0, 4], [0, 0]]]}
BOW_TIE = {"type": "Polygon", "coordinates": [[[0, 0], [4, 4], [4, 0], [0, 4], [0, 0]]]}
NOWHERE: dict[str, Any] = {"type": "GeometryCollection", "geometries": []}


class Place(ValueObject):
    type: str
    coordinates: list[float]


def point(x: float, y: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [x, y]}


def line(*places: tuple[float, float]) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": places}


def asked(operator: str, operand: Any, value: Any) -> bool | None:
    return AttributeSpecification("place", operator, operand).compiled({"place": value})


@pytest.mark.parametrize(
    ("operator", "value", "operand", "answer"),
    [
        ("intersects", point(4, 4), SQUARE, True),
        ("intersects", point(5, 4), SQUARE, False),
        ("within", point(2, 2), SQUARE, True),
        ("within", point(4, 2), SQUARE, False),
        ("within", SQUARE, SQUARE, True),
        ("contains_geom", SQUARE, point(2, 2), True),
        ("contains_geom", point(2, 2), SQUARE, False),
        ("touches", point(4, 2), SQUARE, True),
        ("touches", point(2, 2), SQUARE, False),
        ("crosses", line((-1, 2), (5, 2)), SQUARE, True),
        ("crosses", line((0, 0), (4, 0)), SQUARE, False),
        ("overlaps", SQUARE, TRIANGLE, False),
        ("disjoint", point(9, 9), SQUARE, True),
        ("geom_equals", SQUARE, SQUARE_FROM_ANOTHER_CORNER, True),
        ("geom_equals", SQUARE, TRIANGLE, False),
        ("bbox_intersects", point(3, 3), TRIANGLE, True),
        ("intersects", point(3, 3), TRIANGLE, False),
        ("bbox_intersects", point(5, 3), TRIANGLE, False),
    ],
)
def test_a_place_lies_as_the_operator_says(
    operator: str, value: Any, operand: Any, answer: bool
) -> None:
    assert asked(operator, operand, value) is answer


@pytest.mark.parametrize(
    ("distance", "closer", "within"), [(5, False, True), (5.5, True, True), (4, False, False)]
)
def test_a_distance_is_included_by_dwithin_and_excluded_by_distance_lt(
    distance: float, closer: bool, within: bool
) -> None:
    assert asked("distance_lt", [point(0, 0), distance], point(3, 4)) is closer
    assert asked("dwithin", [point(0, 0), distance], point(3, 4)) is within


@pytest.mark.parametrize("operator", sorted(GEOMETRY_OPERATORS - {"distance_lt", "dwithin"}))
def test_an_empty_geometry_and_one_that_crosses_itself_have_an_answer(operator: str) -> None:
    assert asked(operator, SQUARE, NOWHERE) in {True, False}
    assert asked(operator, NOWHERE, SQUARE) in {True, False}
    assert asked(operator, BOW_TIE, SQUARE) in {True, False}


@pytest.mark.parametrize("operator", sorted(GEOMETRY_OPERATORS))
def test_an_operand_that_is_no_geometry_is_a_typed_error(operator: str) -> None:
    operand: Any = {"type": "Circle"}
    if operator in {"distance_lt", "dwithin"}:
        operand = [operand, 1]
    with pytest.raises(OperandError, match="no GeoJSON geometry"):
        asked(operator, operand, point(1, 1))


@pytest.mark.parametrize(
    "value", [{}, {"type": "Point"}, {"type": "Point", "coordinates": "x"}, "POINT (1 1)", 5]
)
def test_a_value_that_is_no_geometry_is_a_typed_error(value: Any) -> None:
    with pytest.raises(OperandError, match="no GeoJSON geometry"):
        asked("intersects", SQUARE, value)


def test_a_value_object_of_the_shape_of_geojson_is_a_geometry() -> None:
    assert asked("within", SQUARE, Place(type="Point", coordinates=[1, 1])) is True
    assert asked("contains_geom", Place(type="Point", coordinates=[1, 1]), SQUARE) is True


def test_a_geometry_survives_json() -> None:
    specification = AttributeSpecification("place", "dwithin", [point(0, 0), 5])
    read: Specification = SpecificationFactory().from_dict(specification.to_dict())
    assert read == specification
    assert read.is_satisfied_by({"place": point(3, 4)})


def test_without_shapely_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shapely.geometry", None)
    with pytest.raises(UnsupportedOperatorError, match=r"cqrs-ddd-specifications\[geometry\]"):
        asked("within", SQUARE, point(1, 1))
