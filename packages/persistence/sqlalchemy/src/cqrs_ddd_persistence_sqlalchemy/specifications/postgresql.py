"""PostgreSQL: JSONB, ICU collations, text search, PostGIS where it is installed."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from pydantic_core import to_json
from sqlalchemy import (
    JSON,
    ColumnElement,
    Text,
    and_,
    any_,
    case,
    cast,
    collate,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSQUERY, TSVECTOR

from cqrs_ddd_persistence_sqlalchemy.specifications.dialect import (
    FEW,
    Condition,
    SqlDialect,
    fits,
    geometry_condition,
    literal_type,
)
from cqrs_ddd_persistence_sqlalchemy.specifications.fields import Field
from cqrs_ddd_persistence_sqlalchemy.types import column_type
from cqrs_ddd_specifications import Operator
from cqrs_ddd_specifications.json_values import path_steps
from cqrs_ddd_specifications.operators import DISTANCE_OPERATORS

_JSON_KINDS: dict[type | None, str] = {bool: "boolean", float: "number", str: "string"}
_CONTAINERS = ("object", "array")


class PostgreSQLDialect(SqlDialect):
    """How PostgreSQL reads values and says conditions."""

    nulls_are_greatest = True

    def value(self, field: Field) -> ColumnElement[Any]:
        """Return the scalar; text by code point."""
        if not field.steps:
            return collate(field.column, "C") if field.python_type is str else field.column
        found: Any = _below(field).astext
        scalar = found
        if field.python_type not in {str, None}:
            scalar = cast(found, column_type(field.python_type))
        if field.is_untyped and field.python_type in _JSON_KINDS:
            kind = func.jsonb_typeof(self.document(field))
            scalar = case((kind == _JSON_KINDS[field.python_type], scalar))
        return collate(scalar, "C") if field.python_type is str else scalar

    def document(self, field: Field) -> ColumnElement[Any]:
        """Return the document; JSON's null is null."""
        if field.steps:
            return func.nullif(_below(field), _json(None))
        return type_coerce(field.column, JSONB(none_as_null=True))

    def membership(self, field: Field, values: Sequence[Any]) -> Condition:
        """Look among the values; many of them are one parameter, for there are 32,767 at most."""
        if len(values) <= FEW:
            return super().membership(field, values)
        values = [Decimal(value) if not fits(value) else value for value in values]
        kind = literal_type(next((v for v in values if isinstance(v, Decimal)), values[0]))
        return self.value(field) == any_(literal(values, ARRAY(kind)))

    def like(self, subject: ColumnElement[Any], pattern: str, *, ignore_case: bool) -> Condition:
        """Use LIKE; case is told apart, or not, as Unicode has it."""
        if ignore_case:
            return func.lower(collate(subject, "und-x-icu")).like(pattern.lower(), escape="\\")
        return subject.like(pattern, escape="\\")

    def regex(self, subject: ColumnElement[Any], pattern: str, *, ignore_case: bool) -> Condition:
        """Use PostgreSQL's own regular expressions."""
        return collate(subject, "und-x-icu").op("~*" if ignore_case else "~", is_comparison=True)(
            literal(pattern, Text())
        )

    def full_text(self, subject: ColumnElement[Any], words: str, *, phrase: bool) -> Condition:
        """Use text search under the configuration ``simple``, which an index can serve."""
        query = func.phraseto_tsquery if phrase else func.plainto_tsquery
        vector = func.to_tsvector(_SIMPLE, subject, type_=TSVECTOR())
        return vector.op("@@", is_comparison=True)(query(_SIMPLE, words, type_=TSQUERY()))

    def same_json(self, field: Field, value: Any) -> Condition:
        """Compare JSONB."""
        return self.document(field) == _json(value)

    def json(self, field: Field, operator: Operator, operand: Any) -> Condition:
        """Use the JSONB operators, which a GIN index can serve."""
        document = self.document(field)
        kind = func.jsonb_typeof(document)
        match operator:
            case Operator.JSON_CONTAINS:
                if not isinstance(operand, dict | list):
                    return document == _json(operand)
                return document.op("@>", is_comparison=True)(_json(operand))
            case Operator.JSON_CONTAINED_BY:
                inside = and_(
                    kind.in_(_CONTAINERS), document.op("<@", is_comparison=True)(_json(operand))
                )
                return or_(inside, document == _json(operand))
            case Operator.JSON_HAS_KEY | Operator.JSON_HAS_ANY | Operator.JSON_HAS_ALL:
                keys = [operand] if operator is Operator.JSON_HAS_KEY else operand
                combine = or_ if operator is Operator.JSON_HAS_ANY else and_
                start = false() if operator is Operator.JSON_HAS_ANY else true()
                found = (document.op("?", is_comparison=True)(literal(k, Text())) for k in keys)
                return and_(kind.in_(_CONTAINERS), combine(start, *found))
            case Operator.JSON_PATH_EXISTS:
                return self._path_exists(field, operand)
            case Operator.CONTAINS_ANY:
                return or_(false(), *(_has_item(document, item) for item in operand))
            case _:
                return and_(kind == "array", *(_has_item(document, item) for item in operand))

    def geometry(self, field: Field, operator: Operator, operand: Any) -> Condition:
        """Use PostGIS."""
        shape, distance = operand if operator in DISTANCE_OPERATORS else (operand, None)
        own = func.ST_GeomFromGeoJSON(cast(self.document(field), Text()))
        other = func.ST_GeomFromGeoJSON(literal(to_json(shape).decode(), Text()))
        return geometry_condition(operator, own, other, distance, func.ST_Envelope)

    @staticmethod
    def _path_exists(field: Field, path: str) -> Condition:
        column: Any = type_coerce(field.column, JSONB())
        steps = (*field.steps, *path_steps(path))
        return (column[steps] if steps else column).is_not(None)


def _below(field: Field) -> Any:
    """Return what stands at the field's steps, which are keys: a number is no place in a list."""
    column: Any = type_coerce(field.column, JSONB(none_as_null=True))
    for position, step in enumerate(field.steps):
        if step.lstrip("-").isdigit():
            parent = column[field.steps[:position]] if position else column
            whole = case((func.jsonb_typeof(parent) == "object", column))
            column = type_coerce(whole, JSONB(none_as_null=True))
    return column[field.steps]


_SIMPLE: ColumnElement[Any] = literal_column("'simple'")


def _json(value: Any) -> ColumnElement[Any]:
    """Return ``value`` as a JSONB parameter; None is JSON's null."""
    return literal(JSON.NULL if value is None else value, JSONB())


def _has_item(document: ColumnElement[Any], item: Any) -> Condition:
    """Whether a list has an item equal to ``item``."""
    is_list = func.jsonb_typeof(document) == "array"
    if not isinstance(item, dict | list):
        return and_(is_list, document.op("@>", is_comparison=True)(_json([item])))
    items = func.jsonb_array_elements(case((is_list, document))).column_valued("item")
    return exists(select(items).where(type_coerce(items, JSONB()) == _json(item)))
