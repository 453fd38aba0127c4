"""Geometry by shapely, an optional dependency: GeoJSON in, answers out."""

from collections.abc import Callable, Sequence
from typing import Any

from cqrs_ddd_specifications.errors import OperandError, UnsupportedOperatorError
from cqrs_ddd_specifications.operators import DISTANCE_OPERATORS, Operator

_PREDICATES = {
    Operator.INTERSECTS: "intersects",
    Operator.WITHIN: "within",
    Operator.CONTAINS_GEOM: "contains",
    Operator.TOUCHES: "touches",
    Operator.CROSSES: "crosses",
    Operator.OVERLAPS: "overlaps",
    Operator.DISJOINT: "disjoint",
    Operator.GEOM_EQUALS: "equals",
}


def geometry_test(operator: Operator, operand: Any, attr: str) -> Callable[[Any], bool]:
    """Return a test of GeoJSON values (dicts) against ``operand``, in the plane.

    Raises:
        UnsupportedOperatorError: shapely is not installed.
        OperandError: the operand is no geometry.
    """
    read = _reader(operator, attr)
    if operator in DISTANCE_OPERATORS:
        other, distance = read(operand[0]), operand[1]
        if operator is Operator.DISTANCE_LT:
            return lambda value: read(value).distance(other) < distance
        return lambda value: read(value).distance(other) <= distance
    other = read(operand)
    if operator is Operator.BBOX_INTERSECTS:
        return lambda value: _boxes_meet(read(value).bounds, other.bounds)
    predicate = _PREDICATES[operator]
    return lambda value: getattr(read(value), predicate)(other)


def _boxes_meet(own: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes have a point in common; the box of nothing, all NaN, has none."""
    left, bottom, right, top = own
    return left <= other[2] and other[0] <= right and bottom <= other[3] and other[1] <= top


def _reader(operator: Operator, attr: str) -> Callable[[Any], Any]:
    """Return what makes a geometry of GeoJSON."""
    try:
        from shapely.errors import ShapelyError  # noqa: PLC0415 - optional
        from shapely.geometry import shape  # noqa: PLC0415 - optional
    except ImportError:
        raise UnsupportedOperatorError(
            operator,
            "without shapely",
            "Install it: pip install 'cqrs-ddd-specifications[geometry]'.",
        ) from None

    def read(value: Any) -> Any:
        try:
            return shape(value)
        except (AttributeError, LookupError, TypeError, ValueError, ShapelyError) as error:
            raise OperandError(attr, operator, f"{value!r} is no GeoJSON geometry.") from error

    return read
