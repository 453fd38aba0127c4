"""SQLite: what it lacks is asked of the functions that the toolkit's connection brings along."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from pydantic_core import to_json
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Text,
    cast,
    collate,
    func,
    literal,
    select,
    type_coerce,
)
from sqlalchemy.types import JSON

from cqrs_ddd_persistence_sqlalchemy.specifications.dialect import (
    FEW,
    Condition,
    SqlDialect,
    compare,
    fits,
)
from cqrs_ddd_persistence_sqlalchemy.specifications.fields import Field
from cqrs_ddd_persistence_sqlalchemy.sqlite import DECIMAL_COLLATION
from cqrs_ddd_persistence_sqlalchemy.types import ExactDecimal, column_type
from cqrs_ddd_specifications import Operator


class SQLiteDialect(SqlDialect):
    """How SQLite reads values and says conditions."""

    def value(self, field: Field) -> ColumnElement[Any]:
        """Return the scalar; decimals, kept as text, compare as numbers."""
        found = field.column
        if field.steps:
            kind = field.python_type.__name__ if field.python_type is not None else "json"
            found = _at(field, kind, column_type(field.python_type))
        return _as_number(found) if field.python_type is Decimal else found

    def document(self, field: Field) -> ColumnElement[Any]:
        """Return the document; JSON's null is null."""
        return _at(field, "json", JSON()) if field.steps else field.column

    def literal(self, value: Any) -> ColumnElement[Any]:
        """Return a parameter; SQLite takes decimals as text."""
        if isinstance(value, Decimal) or not fits(value):
            return literal(Decimal(value), ExactDecimal())
        return super().literal(value)

    def comparison(self, field: Field, operator: Operator, value: Any) -> Condition:
        """Compare; a decimal with any number as a decimal."""
        return compare(operator, self._beside(field, value), self.literal(value))

    def membership(self, field: Field, values: Sequence[Any]) -> Condition:
        """Look among the values, decimals among decimals; many of them are one parameter."""
        own = self._beside(field, values[0])
        if len(values) > FEW and field.python_type in {int, float, str} and all(map(fits, values)):
            among = func.json_each(literal(to_json(list(values)).decode(), Text()))
            return own.in_(select(among.table_valued("value").c.value))
        return own.in_([self.literal(value) for value in values])

    def _beside(self, field: Field, value: Any) -> ColumnElement[Any]:
        """Return a scalar as something that compares with a value of this type."""
        own = self.value(field)
        is_wide = isinstance(value, Decimal) or not fits(value)
        if is_wide and field.python_type is not Decimal:
            return _as_number(cast(own, Text()))
        return own

    def total(self, field: Field) -> ColumnElement[Any]:
        """Return the sum, of decimals without rounding."""
        if field.python_type is Decimal:
            return func.cqrs_decimal_sum(self.value(field), type_=ExactDecimal())
        return super().total(field)

    def like(self, subject: ColumnElement[Any], pattern: str, *, ignore_case: bool) -> Condition:
        """Ask the connection, for SQLite's LIKE knows the case of ASCII only."""
        return func.cqrs_like(subject, pattern, int(ignore_case), type_=Boolean())

    def regex(self, subject: ColumnElement[Any], pattern: str, *, ignore_case: bool) -> Condition:
        """Use Python's regular expressions."""
        return func.cqrs_regex(subject, pattern, int(ignore_case), type_=Boolean())

    def full_text(self, subject: ColumnElement[Any], words: str, *, phrase: bool) -> Condition:
        """Look through the words of each text."""
        function = func.cqrs_fts_phrase if phrase else func.cqrs_fts
        return function(subject, words, type_=Boolean())

    def same_json(self, field: Field, value: Any) -> Condition:
        """Compare documents in Python."""
        return self._json_test(field, Operator.EQ, value)

    def json(self, field: Field, operator: Operator, operand: Any) -> Condition:
        """Answer in Python, by the reference itself."""
        return self._json_test(field, operator, operand)

    def geometry(self, field: Field, operator: Operator, operand: Any) -> Condition:
        """Answer by shapely."""
        document = cast(self.document(field), Text())
        return func.cqrs_geometry(operator.value, document, _text(operand), type_=Boolean())

    def _json_test(self, field: Field, operator: Operator, operand: Any) -> Condition:
        document = cast(self.document(field), Text())
        return func.cqrs_json(operator.value, document, _text(operand), type_=Boolean())


def _as_number(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a decimal kept as text, to be compared as a number."""
    return type_coerce(collate(type_coerce(text, Text()), DECIMAL_COLLATION), ExactDecimal())


def _at(field: Field, kind: str, type_: Any) -> ColumnElement[Any]:
    """Return what stands inside a document, as a value of ``kind``; null where it is none."""
    path = literal(".".join(field.steps), Text())
    return func.cqrs_value(cast(field.column, Text()), path, kind, type_=type_)


def _text(value: Any) -> ColumnElement[str]:
    return literal(to_json(value).decode(), Text())
