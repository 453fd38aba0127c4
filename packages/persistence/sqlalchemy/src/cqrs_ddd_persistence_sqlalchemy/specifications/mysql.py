"""MariaDB and MySQL: JSON functions with checked types, binary collations, OGC geometry."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Date,
    Double,
    Text,
    and_,
    case,
    cast,
    collate,
    false,
    func,
    literal,
    or_,
    true,
    type_coerce,
)
from sqlalchemy.dialects.mysql import DECIMAL
from sqlalchemy.types import JSON

from cqrs_ddd_persistence_sqlalchemy.specifications.dialect import (
    Condition,
    SqlDialect,
    geometry_condition,
    known,
)
from cqrs_ddd_persistence_sqlalchemy.specifications.fields import Field
from cqrs_ddd_persistence_sqlalchemy.types import MYSQL_COLLATION
from cqrs_ddd_specifications import Operator, UnsupportedOperatorError
from cqrs_ddd_specifications.json_values import path_steps
from cqrs_ddd_specifications.operators import DISTANCE_OPERATORS
from cqrs_ddd_specifications.text import words_of

_NUMBERS = ("INTEGER", "DOUBLE", "DECIMAL", "UNSIGNED INTEGER")
_KINDS: dict[type | None, tuple[str, ...]] = {
    bool: ("BOOLEAN",),
    int: _NUMBERS,
    float: _NUMBERS,
    str: ("STRING",),
}
_CONTAINERS = ("OBJECT", "ARRAY")


class MySQLDialect(SqlDialect):
    """How MariaDB and MySQL read values and say conditions."""

    streams_by_page = True

    def value(self, field: Field) -> ColumnElement[Any]:
        """Return the scalar; text by code point."""
        if not field.steps:
            is_text = field.python_type is str
            return collate(field.column, MYSQL_COLLATION) if is_text else field.column
        if field.python_type is datetime:
            raise UnsupportedOperatorError(
                "a time inside JSON",
                "on MariaDB and MySQL",
                f"Make {field.path} a field of the aggregate itself, which gets a column.",
            )
        found = func.json_value(field.column, _keys(field.steps), type_=Text())
        scalar = _SCALARS[field.python_type](found)
        if field.is_untyped and field.python_type in _KINDS:
            kind = func.json_type(_extract(field))
            return case((kind.in_(_KINDS[field.python_type]), scalar))
        return scalar

    def document(self, field: Field) -> ColumnElement[Any]:
        """Return the document; JSON's null is null."""
        if not field.steps:
            return field.column
        found = _extract(field)
        return case((func.json_type(found) != "NULL", found))

    def like(self, subject: ColumnElement[Any], pattern: str, *, ignore_case: bool) -> Condition:
        """Use LIKE under a binary collation."""
        if ignore_case:
            return func.lower(subject).like(pattern.lower())
        return subject.like(pattern)

    def regex(self, subject: ColumnElement[Any], pattern: str, *, ignore_case: bool) -> Condition:
        """Use the database's own regular expressions."""
        return subject.regexp_match(pattern, flags="i" if ignore_case else None)

    def full_text(self, subject: ColumnElement[Any], words: str, *, phrase: bool) -> Condition:
        """Look for words; there is no full-text search without an index of its own."""
        found = words_of(words)
        if phrase:
            return self._has(subject, r"\W+".join(found))
        return and_(*(self._has(subject, word) for word in found))

    def _has(self, subject: ColumnElement[Any], words: str) -> Condition:
        return func.lower(subject).regexp_match(rf"(?<!\w){words}(?!\w)")

    def same_json(self, field: Field, value: Any) -> Condition:
        """Compare as JSON."""
        return _same(self.document(field), value)

    def json(self, field: Field, operator: Operator, operand: Any) -> Condition:
        """Use the JSON functions, each behind a check of the type."""
        document = self.document(field)
        kind = func.json_type(document)
        match operator:
            case Operator.JSON_CONTAINS:
                return _contains(document, operand)
            case Operator.JSON_CONTAINED_BY:
                wrapped = literal(to_json(operand).decode(), Text())
                inside = and_(kind == _kind_of(operand), func.json_contains(wrapped, document) == 1)
                return inside if isinstance(operand, dict | list) else _same(document, operand)
            case Operator.JSON_HAS_KEY | Operator.JSON_HAS_ANY | Operator.JSON_HAS_ALL:
                keys = [operand] if operator is Operator.JSON_HAS_KEY else operand
                found = [_has_key(document, key) for key in keys]
                if operator is Operator.JSON_HAS_ANY:
                    return and_(kind.in_(_CONTAINERS), or_(false(), *found))
                return and_(kind.in_(_CONTAINERS), *found)
            case Operator.JSON_PATH_EXISTS:
                steps = path_steps(operand)
                return _path_exists(document, steps) if steps else true()
            case Operator.CONTAINS_ANY:
                return or_(false(), *(_has_item(document, item) for item in operand))
            case _:
                return and_(kind == "ARRAY", *(_has_item(document, item) for item in operand))

    def geometry(self, field: Field, operator: Operator, operand: Any) -> Condition:
        """Use the geometry functions; in the plane."""
        shape, distance = operand if operator in DISTANCE_OPERATORS else (operand, None)
        own = func.ST_GeomFromGeoJSON(self.document(field))
        other = func.ST_GeomFromGeoJSON(literal(to_json(shape).decode(), Text()))
        condition = geometry_condition(operator, own, other, distance, func.ST_Envelope)
        if operator is Operator.OVERLAPS:  # which MariaDB says of shapes that just touch, too
            condition = and_(condition, func.ST_Touches(own, other) == 0)
        # Null where a predicate does not apply to shapes of these dimensions: it is not so, then.
        return known(self.is_null(field), func.coalesce(condition, false()))


def _number(found: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(found, DECIMAL(65, 30))


_SCALARS: dict[type | None, Callable[[ColumnElement[Any]], ColumnElement[Any]]] = {
    str: lambda found: collate(found, MYSQL_COLLATION),
    int: _number,
    Decimal: _number,
    float: lambda found: cast(found, Double()),
    bool: lambda found: type_coerce(found == "1", Boolean()),
    date: lambda found: cast(found, Date()),
    UUID: lambda found: func.replace(found, "-", "", type_=Text()),
}


def _keys(steps: Sequence[str]) -> str:
    """Return a JSON path through objects."""
    return "$" + "".join(f".{to_json(step).decode()}" for step in steps)


def _path(steps: Sequence[str]) -> str:
    """Return a JSON path; numbers are places in a list."""
    parts = (f"[{step}]" if step.isdigit() else f".{to_json(step).decode()}" for step in steps)
    return "$" + "".join(parts)


def _extract(field: Field) -> ColumnElement[Any]:
    return func.json_extract(field.column, _keys(field.steps), type_=JSON())


def _json(value: Any) -> ColumnElement[Any]:
    return literal(to_json(value).decode(), Text())


def _kind_of(value: Any) -> str:
    return "OBJECT" if isinstance(value, dict) else "ARRAY"


def _same(document: ColumnElement[Any], value: Any) -> Condition:
    return func.json_equals(document, _json(value)) == 1


def _contains(document: ColumnElement[Any], part: Any) -> Condition:
    """Whether a document contains ``part``; a list does not contain a bare scalar."""
    if not isinstance(part, dict | list):
        return _same(document, part)
    right_kind = func.json_type(document) == _kind_of(part)
    return and_(right_kind, func.json_contains(document, _json(part)) == 1)


def _has_key(document: ColumnElement[Any], key: str) -> Condition:
    in_object = func.json_contains_path(document, "one", "$." + to_json(key).decode()) == 1
    return case((func.json_type(document) == "OBJECT", in_object), else_=_has_item(document, key))


def _has_item(document: ColumnElement[Any], item: Any) -> Condition:
    is_list = func.json_type(document) == "ARRAY"
    return and_(is_list, func.json_contains(document, _json([item])) == 1)


def _path_exists(document: ColumnElement[Any], steps: Sequence[str]) -> Condition:
    """Whether each step meets what it goes into; MariaDB takes ``$[0]`` of an object for it."""
    conditions: list[Condition] = []
    for position, step in enumerate(steps):
        parent = func.json_extract(document, _path(steps[:position])) if position else document
        kind = "ARRAY" if step.isdigit() else "OBJECT"
        conditions.append(func.coalesce(func.json_type(parent) == kind, false()))
    exists = func.json_contains_path(document, "one", _path(steps)) == 1
    return and_(*conditions, exists)
