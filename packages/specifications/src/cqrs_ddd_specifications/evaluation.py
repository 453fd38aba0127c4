"""Specifications in memory: the reference semantics, in SQL's three-valued logic."""

import operator as py
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from cqrs_ddd_core.adapters.memory.paths import located, value_at
from cqrs_ddd_specifications import json_values, text
from cqrs_ddd_specifications.errors import OperandError
from cqrs_ddd_specifications.geometry import geometry_test
from cqrs_ddd_specifications.operators import (
    ARRAY_OPERATORS,
    COMPARISONS,
    GEOMETRY_OPERATORS,
    JSON_OPERATORS,
    Operator,
)
from cqrs_ddd_specifications.values import as_json, coerced, plain

Truth = bool | None
Test = Callable[[Any], Truth]

_COMPARE: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQ: py.eq,
    Operator.NE: py.ne,
    Operator.GT: py.gt,
    Operator.LT: py.lt,
    Operator.GE: py.ge,
    Operator.LE: py.le,
}
_NEED_NO_COERCION: frozenset[type] = frozenset({str, int, float, bool, Decimal, date, UUID})


def attribute_test(attr: str, operator: Operator, operand: Any) -> Test:
    """Return the test of one field: true, false, or None where a null leaves it unknown.

    Inside a document no type is declared, so what is of another kind than the operand is unknown
    there. Elsewhere it is a mistake, and an ``OperandError``.
    """
    test = _test_of(attr, operator, plain(operand), _of_a_field)
    if operator is Operator.IS_NULL:
        return lambda candidate: value_at(candidate, attr) is None
    if operator is Operator.IS_NOT_NULL:
        return lambda candidate: value_at(candidate, attr) is not None
    if operator is Operator.IS_EMPTY:
        return lambda candidate: _is_empty(value_at(candidate, attr))
    if operator is Operator.IS_NOT_EMPTY:
        return lambda candidate: not _is_empty(value_at(candidate, attr))

    test_in_document = _test_of(attr, operator, plain(operand), _in_a_document)

    def evaluate(candidate: Any) -> Truth:
        value, in_document = located(candidate, attr)
        value = plain(value)
        if value is None:
            return None
        return test_in_document(value) if in_document else test(value)

    return evaluate


def conjunction(tests: Sequence[Test]) -> Test:
    """Return AND: false if one is false, else unknown if one is unknown."""

    def evaluate(candidate: Any) -> Truth:
        result: Truth = True
        for test in tests:
            truth = test(candidate)
            if truth is False:
                return False
            if truth is None:
                result = None
        return result

    return evaluate


def disjunction(tests: Sequence[Test]) -> Test:
    """Return OR: true if one is true, else unknown if one is unknown."""

    def evaluate(candidate: Any) -> Truth:
        result: Truth = False
        for test in tests:
            truth = test(candidate)
            if truth:
                return True
            if truth is None:
                result = None
        return result

    return evaluate


def negation(test: Test) -> Test:
    """Return NOT: what is unknown stays unknown."""

    def evaluate(candidate: Any) -> Truth:
        truth = test(candidate)
        return None if truth is None else not truth

    return evaluate


def _is_empty(value: Any) -> bool:
    value = plain(value)
    return value is None or (isinstance(value, str | list | dict) and not value)


def _unknown(_: Any) -> Truth:
    return None


def _test_of(
    attr: str, operator: Operator, operand: Any, adapt: Callable[[Test, Operator, Any], Test]
) -> Test:
    """Return the test of a value that is not null; ``adapt`` says how types that differ meet."""

    def part(operator: Operator, operand: Any) -> Test:
        return adapt(_single_test(attr, operator, operand), operator, operand)

    if operator in {Operator.IN, Operator.NOT_IN}:
        any_equal = disjunction([part(Operator.EQ, item) for item in operand])
        return negation(any_equal) if operator is Operator.NOT_IN else any_equal
    if operator in {Operator.BETWEEN, Operator.NOT_BETWEEN}:
        low, high = operand
        inside = conjunction([part(Operator.GE, low), part(Operator.LE, high)])
        return negation(inside) if operator is Operator.NOT_BETWEEN else inside
    return part(operator, operand)


def _of_a_field(test: Test, operator: Operator, operand: Any) -> Test:  # noqa: ARG001
    """Return ``test`` as it is: what does not compare is a mistake."""
    return test


def _in_a_document(test: Test, operator: Operator, operand: Any) -> Test:
    """Return ``test`` for untyped values: what does not compare is unknown."""
    kind = type(operand) if isinstance(operand, date | UUID) else None
    is_scalar = operator in COMPARISONS and not isinstance(operand, dict | list)

    def evaluate(value: Any) -> Truth:
        if is_scalar and isinstance(value, dict | list):
            return None
        try:
            if kind is not None and isinstance(value, str):
                return test(coerced(value, kind, "", ""))
            return test(value)
        except OperandError:
            return None

    return evaluate


def _single_test(attr: str, operator: Operator, operand: Any) -> Test:
    """Return the test of one value against one operand."""
    if operand is None:
        return _unknown
    if operator in GEOMETRY_OPERATORS:
        return geometry_test(operator, operand, attr)
    if operator in COMPARISONS:
        return _comparison(attr, operator, operand)
    if operator in JSON_OPERATORS or operator in ARRAY_OPERATORS:
        return _json(operator, operand)
    return _on_text(attr, operator, operand)


def _comparison(attr: str, operator: Operator, operand: Any) -> Test:
    compare = _COMPARE[operator]
    operand_type = cast("type[Any]", type(operand))

    def test(value: Any) -> Truth:
        field_type = cast("type[Any]", type(value))
        if field_type is operand_type and field_type in _NEED_NO_COERCION:
            return compare(value, operand)
        if isinstance(value, dict | list) or isinstance(operand, dict | list):
            return _same_document(attr, operator, value, operand)
        own = coerced(value, field_type, attr, operator)
        other = coerced(operand, field_type, attr, operator)
        try:
            return compare(own, other)
        except TypeError as error:  # a class of the user's own, which has no order
            raise OperandError(attr, operator, f"{error}.") from error

    return test


def _same_document(attr: str, operator: Operator, value: Any, operand: Any) -> bool:
    if operator not in {Operator.EQ, Operator.NE}:
        raise OperandError(attr, operator, "lists and objects have no order; use = or !=.")
    same = json_values.same_json(as_json(value), as_json(operand))
    return same if operator is Operator.EQ else not same


def _json(operator: Operator, operand: Any) -> Test:
    answer, wanted = json_values.JSON_TESTS[operator], as_json(operand)
    return lambda value: answer(as_json(value), wanted)


def _on_text(attr: str, operator: Operator, operand: str) -> Test:
    match = _text_match(attr, operator, operand)

    def test(value: Any) -> Truth:
        if not isinstance(value, str):
            raise OperandError(attr, operator, f"it matches text, and {value!r} is none.")
        return match(value)

    return test


def _text_match(attr: str, operator: Operator, operand: str) -> Callable[[str], bool]:
    literal = text.escaped_like(operand)
    patterns = {
        Operator.LIKE: (operand, False),
        Operator.ILIKE: (operand, True),
        Operator.CONTAINS: (f"%{literal}%", False),
        Operator.ICONTAINS: (f"%{literal}%", True),
        Operator.STARTSWITH: (f"{literal}%", False),
        Operator.ISTARTSWITH: (f"{literal}%", True),
        Operator.ENDSWITH: (f"%{literal}", False),
        Operator.IENDSWITH: (f"%{literal}", True),
    }
    if operator in patterns:
        pattern, ignore_case = patterns[operator]
        return lambda value: text.is_like(value, pattern, ignore_case=ignore_case)
    if operator is Operator.NOT_LIKE:
        return lambda value: not text.is_like(value, operand)
    if operator is Operator.FTS:
        return lambda value: text.has_words(value, operand)
    if operator is Operator.FTS_PHRASE:
        return lambda value: text.has_phrase(value, operand)
    expression = text.regular_expression(attr, operator, operand)
    return lambda value: expression.search(value) is not None
