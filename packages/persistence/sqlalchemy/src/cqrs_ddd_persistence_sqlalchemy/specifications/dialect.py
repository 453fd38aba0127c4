"""What differs between databases, and what they have in common."""

import operator as py
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    Double,
    Numeric,
    Text,
    case,
    false,
    func,
    literal,
    literal_column,
    or_,
)
from sqlalchemy.types import TypeEngine

from cqrs_ddd_persistence_sqlalchemy.specifications.fields import Field
from cqrs_ddd_persistence_sqlalchemy.types import PlainUuid, UtcDateTime
from cqrs_ddd_specifications import Operator

Condition = ColumnElement[bool]
UNKNOWN: Condition = literal_column("NULL", Boolean())

_COMPARE: dict[Operator, Callable[[Any, Any], Any]] = {
    Operator.EQ: py.eq,
    Operator.NE: py.ne,
    Operator.GT: py.gt,
    Operator.LT: py.lt,
    Operator.GE: py.ge,
    Operator.LE: py.le,
}
_DOUBLE: TypeEngine[Any] = Double()
_LITERAL_TYPES: dict[type, TypeEngine[Any]] = {
    bool: Boolean(),
    int: BigInteger(),
    float: Double(),
    Decimal: Numeric(),
    str: Text(),
    datetime: UtcDateTime(),
    date: Date(),
    UUID: PlainUuid(),
}
_BIGGEST = 2**63
FEW = 1_000  # values in a list that are parameters of their own
_EMPTY: tuple[Any, ...] = ("", [], {})


def fits(value: Any) -> bool:
    """Whether a value, if a whole number, fits into 64 bits, as columns and parameters have."""
    return type(value) is not int or -_BIGGEST <= value < _BIGGEST


def literal_type(value: Any) -> TypeEngine[Any]:
    """Return the type of the parameter that ``value`` is."""
    return _LITERAL_TYPES[cast("type[Any]", type(value))]


def compare(operator: Operator, first: ColumnElement[Any], second: ColumnElement[Any]) -> Condition:
    """Return one comparison."""
    return _COMPARE[operator](first, second)


def known(is_null: Condition, condition: Condition) -> Condition:
    """Return ``condition``, or unknown where ``is_null`` holds."""
    return case((is_null, UNKNOWN), else_=condition)


class SqlDialect(ABC):
    """How one kind of database reads values and says conditions.

    Conditions are true, false or null, as ``cqrs_ddd_specifications.evaluation`` defines them.
    """

    nulls_are_greatest: bool = False
    """Whether ORDER BY puts null behind everything, as the toolkit does."""

    streams_by_page: bool = False
    """Whether a connection can do nothing else while it streams, so that pages are read instead."""

    # -- values --------------------------------------------------------------------------------

    @abstractmethod
    def value(self, field: Field) -> ColumnElement[Any]:
        """Return the scalar of ``field`` as something to compare and to order by."""

    @abstractmethod
    def document(self, field: Field) -> ColumnElement[Any]:
        """Return what stands at ``field`` as a JSON document."""

    def literal(self, value: Any) -> ColumnElement[Any]:
        """Return ``value`` as a parameter of its own type, whatever it is compared with."""
        value = value if fits(value) else Decimal(value)
        return literal(value, literal_type(value))

    def total(self, field: Field) -> ColumnElement[Any]:
        """Return the sum of ``field``."""
        return func.sum(self.value(field))

    # -- conditions on scalars -----------------------------------------------------------------

    def comparison(self, field: Field, operator: Operator, value: Any) -> Condition:
        """Compare a scalar with a value of its type."""
        return compare(operator, self.value(field), self.literal(value))

    def membership(self, field: Field, values: Sequence[Any]) -> Condition:
        """Whether a scalar is among ``values``, which are not empty and of one type."""
        return self.value(field).in_([self.literal(value) for value in values])

    def is_null(self, field: Field) -> Condition:
        """Whether there is nothing at ``field``; never unknown."""
        return (self.document(field) if field.steps else field.column).is_(None)

    def is_empty(self, field: Field) -> Condition:
        """Whether a text, list or object is empty."""
        if field.python_type is str:
            return self.value(field) == self.literal("")
        if field.python_type is not None:
            return false()
        return or_(*(self.same_json(field, empty) for empty in _EMPTY))

    @abstractmethod
    def like(self, subject: ColumnElement[Any], pattern: str, *, ignore_case: bool) -> Condition:
        """Whether a text as a whole fits a LIKE pattern, escaped by a backslash."""

    @abstractmethod
    def regex(self, subject: ColumnElement[Any], pattern: str, *, ignore_case: bool) -> Condition:
        """Whether a regular expression matches somewhere in a text."""

    @abstractmethod
    def full_text(self, subject: ColumnElement[Any], words: str, *, phrase: bool) -> Condition:
        """Whether a text has all of these words; as a phrase, one behind the other."""

    # -- conditions on documents ---------------------------------------------------------------

    @abstractmethod
    def same_json(self, field: Field, value: Any) -> Condition:
        """Whether a document equals ``value`` as JSON."""

    @abstractmethod
    def json(self, field: Field, operator: Operator, operand: Any) -> Condition:
        """Answer a JSON or array operator for a document that is there."""

    @abstractmethod
    def geometry(self, field: Field, operator: Operator, operand: Any) -> Condition:
        """Answer a geometry operator for a document that is GeoJSON."""


def geometry_condition(
    operator: Operator,
    own: ColumnElement[Any],
    other: ColumnElement[Any],
    distance: float | None,
    envelope: Callable[[Any], ColumnElement[Any]],
) -> Condition:
    """Return an operator in the functions of the OGC, which PostGIS and MariaDB share."""
    if distance is not None:
        near = func.ST_Distance(own, other)
        limit: ColumnElement[Any] = literal(distance, _DOUBLE)
        return near < limit if operator is Operator.DISTANCE_LT else near <= limit
    if operator is Operator.BBOX_INTERSECTS:
        return func.ST_Intersects(envelope(own), envelope(other), type_=Boolean())
    function = getattr(func, _OGC[operator])
    return function(own, other, type_=Boolean())


_OGC: dict[Operator, str] = {
    Operator.INTERSECTS: "ST_Intersects",
    Operator.WITHIN: "ST_Within",
    Operator.CONTAINS_GEOM: "ST_Contains",
    Operator.TOUCHES: "ST_Touches",
    Operator.CROSSES: "ST_Crosses",
    Operator.OVERLAPS: "ST_Overlaps",
    Operator.DISJOINT: "ST_Disjoint",
    Operator.GEOM_EQUALS: "ST_Equals",
}
