"""Compiles a specification, node by node."""

from collections.abc import Callable
from typing import Any, cast

from sqlalchemy import and_, false, not_, or_, true

from cqrs_ddd_core.ports import ISpecification
from cqrs_ddd_persistence_sqlalchemy.specifications.dialect import (
    UNKNOWN,
    Condition,
    SqlDialect,
    known,
)
from cqrs_ddd_persistence_sqlalchemy.specifications.fields import Field
from cqrs_ddd_specifications import (
    AndSpecification,
    AttributeSpecification,
    NotSpecification,
    OperandError,
    Operator,
    OrSpecification,
    SpecificationError,
    text,
)
from cqrs_ddd_specifications.operators import (
    ARRAY_OPERATORS,
    COMPARISONS,
    GEOMETRY_OPERATORS,
    JSON_OPERATORS,
)
from cqrs_ddd_specifications.values import coerced, plain

_SCALARS = (bool, int, float, str)


def compiled(
    specification: ISpecification[Any], resolve: Callable[[str], Field], dialect: SqlDialect
) -> Condition:
    """Return the condition that ``specification`` is on this database.

    Args:
        specification: made of the nodes of ``cqrs_ddd_specifications``.
        resolve: finds the field that a path means.
        dialect: how the database says things.

    Raises:
        FieldNotFoundError: a field does not exist.
        OperandError: a value does not compare with its field.
        UnsupportedOperatorError: this database does not have an operator.
        SpecificationError: a node is of a class of its own, which only memory can evaluate.
    """
    match specification:
        case AndSpecification(specifications=parts):
            return and_(true(), *(compiled(part, resolve, dialect) for part in parts))
        case OrSpecification(specifications=parts):
            return or_(false(), *(compiled(part, resolve, dialect) for part in parts))
        case NotSpecification(specifications=(part,)):
            return not_(compiled(part, resolve, dialect))
        case AttributeSpecification(attr=attr, op=operator, val=value):
            return _Attribute(resolve(attr), operator, dialect).condition(plain(value))
        case _:
            raise SpecificationError(
                f"{type(specification).__name__} has no SQL. Build it from AttributeSpecification "
                "and &, | and ~."
            )


class _Attribute:
    """One field under one operator."""

    def __init__(self, field: Field, operator: Operator, dialect: SqlDialect) -> None:
        self._field, self._operator, self._dialect = field, operator, dialect

    def condition(self, operand: Any) -> Condition:
        operator, field = self._operator, self._field
        if operator in COMPARISONS:
            return self._comparison(operator, operand)
        if operator in {Operator.IN, Operator.NOT_IN}:
            return self._membership(operand)
        if operator in {Operator.BETWEEN, Operator.NOT_BETWEEN}:
            return self._range(*operand)
        if operator in {Operator.IS_NULL, Operator.IS_NOT_NULL}:
            is_null = self._dialect.is_null(field)
            return is_null if operator is Operator.IS_NULL else not_(is_null)
        if operator in {Operator.IS_EMPTY, Operator.IS_NOT_EMPTY}:
            is_empty = or_(self._dialect.is_null(field), self._dialect.is_empty(field))
            return is_empty if operator is Operator.IS_EMPTY else not_(is_empty)
        if operator in GEOMETRY_OPERATORS:
            return self._dialect.geometry(field, operator, operand)
        if operator in JSON_OPERATORS or operator in ARRAY_OPERATORS:
            return UNKNOWN if operand is None else self._json(operand)
        return UNKNOWN if operand is None else self._on_text(operand)

    def _comparison(self, operator: Operator, operand: Any) -> Condition:
        if operand is None:
            return UNKNOWN
        field = self._field
        if isinstance(operand, dict | list) or (field.python_type is None and not field.is_untyped):
            if operator not in {Operator.EQ, Operator.NE}:
                raise OperandError(
                    field.path, operator, "lists and objects have no order; use = or !=."
                )
            equal = self._dialect.same_json(field, operand)
            return not_(equal) if operator is Operator.NE else equal
        scalar = field.python_type or _scalar_type(operand)
        value = coerced(operand, scalar, field.path, operator)
        return self._dialect.comparison(field.as_type(scalar), operator, value)

    def _membership(self, operands: list[Any]) -> Condition:
        candidates = [operand for operand in operands if operand is not None]
        found = self._any_of(candidates)
        if len(candidates) < len(operands):
            found = or_(found, UNKNOWN)
        return not_(found) if self._operator is Operator.NOT_IN else found

    def _any_of(self, operands: list[Any]) -> Condition:
        if not operands:
            return known(self._dialect.is_null(self._field), false())
        scalar = self._field.python_type
        if scalar is not None:
            values = [coerced(operand, scalar, self._field.path, "in") for operand in operands]
            kinds: set[type[Any]] = {type(value) for value in values}
            if len(kinds) == 1:
                return self._dialect.membership(self._field, values)
        return or_(*(self._comparison(Operator.EQ, operand) for operand in operands))

    def _range(self, low: Any, high: Any) -> Condition:
        inside = and_(self._comparison(Operator.GE, low), self._comparison(Operator.LE, high))
        return not_(inside) if self._operator is Operator.NOT_BETWEEN else inside

    def _json(self, operand: Any) -> Condition:
        if self._field.python_type is not None:
            raise OperandError(
                self._field.path,
                self._operator,
                f"the field is a {self._field.python_type.__name__}, not a list or an object.",
            )
        condition = self._dialect.json(self._field, self._operator, operand)
        return known(self._dialect.is_null(self._field), condition)

    def _on_text(self, operand: str) -> Condition:
        field, operator = self._field, self._operator
        if field.is_untyped:
            field = field.as_type(str)
        if field.python_type is not str:
            raise OperandError(field.path, operator, "the field is not a text.")
        subject = self._dialect.value(field)
        if operator in _LIKES:
            pattern, ignore_case = _LIKES[operator]
            condition = self._dialect.like(subject, pattern(operand), ignore_case=ignore_case)
            return not_(condition) if operator is Operator.NOT_LIKE else condition
        if operator in {Operator.REGEX, Operator.IREGEX}:
            text.regular_expression(field.path, operator, operand)
            ignore_case = operator is Operator.IREGEX
            return self._dialect.regex(subject, operand, ignore_case=ignore_case)
        if not text.words_of(operand):
            return known(self._dialect.is_null(field), false())
        return self._dialect.full_text(subject, operand, phrase=operator is Operator.FTS_PHRASE)


def _like_as_is(pattern: str) -> str:
    r"""Return a pattern whose last backslash, if nothing is behind it, stands for itself."""
    dangling = (len(pattern) - len(pattern.rstrip("\\"))) % 2
    return pattern + "\\" if dangling else pattern


_LIKES: dict[Operator, tuple[Callable[[str], str], bool]] = {
    Operator.LIKE: (_like_as_is, False),
    Operator.NOT_LIKE: (_like_as_is, False),
    Operator.ILIKE: (_like_as_is, True),
    Operator.CONTAINS: (lambda value: f"%{text.escaped_like(value)}%", False),
    Operator.ICONTAINS: (lambda value: f"%{text.escaped_like(value)}%", True),
    Operator.STARTSWITH: (lambda value: f"{text.escaped_like(value)}%", False),
    Operator.ISTARTSWITH: (lambda value: f"{text.escaped_like(value)}%", True),
    Operator.ENDSWITH: (lambda value: f"%{text.escaped_like(value)}", False),
    Operator.IENDSWITH: (lambda value: f"%{text.escaped_like(value)}", True),
}


def _scalar_type(operand: Any) -> type:
    """Return the type under which a value in untyped JSON compares with ``operand``."""
    for scalar in _SCALARS:
        if isinstance(operand, scalar):
            return float if scalar is int else scalar
    return cast("type[Any]", type(operand))
