"""The nodes of a specification."""

import json
from abc import ABC, abstractmethod
from copy import deepcopy
from typing import Any, cast

from cqrs_ddd_specifications.encoding import encoded_value
from cqrs_ddd_specifications.evaluation import (
    Test,
    attribute_test,
    conjunction,
    disjunction,
    negation,
)
from cqrs_ddd_specifications.operands import check_operand
from cqrs_ddd_specifications.operators import operator_named


class Specification(ABC):
    """A condition, immutable; combine conditions with ``&``, ``|`` and ``~``.

    A null leaves a comparison unknown, and what is unknown is not satisfied, as in SQL.
    """

    __slots__ = ("_test",)
    _test: Test

    @abstractmethod
    def _compile(self) -> Test:
        """Return the test of this node."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the condition as data that ``SpecificationFactory`` reads back."""

    def is_satisfied_by(self, candidate: Any, /) -> bool:
        """Whether ``candidate``, an object or a dict, meets the condition.

        Raises:
            FieldNotFoundError: the candidate lacks a field that is asked about.
            OperandError: a value does not compare with the candidate's.
        """
        return self.compiled(candidate) is True

    @property
    def compiled(self) -> Test:
        """The test behind it, three-valued: None is unknown."""
        try:
            return self._test
        except AttributeError:
            self._test = self._compile()
            return self._test

    def __and__(self, other: "Specification") -> "AndSpecification":
        return AndSpecification(*_parts(AndSpecification, self), *_parts(AndSpecification, other))

    def __or__(self, other: "Specification") -> "OrSpecification":
        return OrSpecification(*_parts(OrSpecification, self), *_parts(OrSpecification, other))

    def __invert__(self) -> "NotSpecification":
        return NotSpecification(self)

    def merge(self, other: "Specification") -> "AndSpecification":
        """Return what meets both."""
        return self & other

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Specification) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> str:
        """Return text that is equal for equal conditions only; 1, 1.0 and true are not equal."""
        return json.dumps(self.to_dict(), sort_keys=True, default=repr)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.to_dict()})"


class AttributeSpecification(Specification):
    """One field compared with one value.

    Args:
        attr: the field; dots lead into nested objects and JSON.
        op: the operator, in any of its spellings.
        val: what the operator takes; nothing for ``is_null`` and its like.

    Raises:
        OperatorNotFoundError: there is no such operator.
        OperandError: the operator takes something else.

    Example:
        >>> AttributeSpecification("total", ">", 100).is_satisfied_by({"total": 120})
        True
    """

    __slots__ = ("attr", "op", "val")

    def __init__(self, attr: str, op: str, val: Any = None) -> None:
        self.attr, self.op = attr, operator_named(op)
        check_operand(attr, self.op, val)
        self.val: Any = deepcopy(cast("Any", val)) if isinstance(val, list | dict) else val

    def _compile(self) -> Test:
        return attribute_test(self.attr, self.op, self.val)

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"op", "attr", "val"}``, with ``value_type`` where JSON has no such type."""
        return {"op": self.op.value, "attr": self.attr, **encoded_value(self.val)}


class _Composite(Specification):
    """Several conditions under one operator."""

    __slots__ = ("specifications",)
    _name = ""

    def __init__(self, *specifications: Specification) -> None:
        self.specifications = specifications

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"op", "conditions"}``."""
        conditions = [specification.to_dict() for specification in self.specifications]
        return {"op": self._name, "conditions": conditions}

    def _tests(self) -> list[Test]:
        return [specification.compiled for specification in self.specifications]


class AndSpecification(_Composite):
    """All of them; of none, everything."""

    __slots__ = ()
    _name = "and"

    def _compile(self) -> Test:
        return conjunction(self._tests())


class OrSpecification(_Composite):
    """At least one of them; of none, nothing."""

    __slots__ = ()
    _name = "or"

    def _compile(self) -> Test:
        return disjunction(self._tests())


class NotSpecification(_Composite):
    """Not this one; what is unknown stays unknown."""

    __slots__ = ()
    _name = "not"

    def __init__(self, specification: Specification) -> None:
        super().__init__(specification)

    def _compile(self) -> Test:
        return negation(self.specifications[0].compiled)


def _parts(kind: type[_Composite], specification: Specification) -> tuple[Specification, ...]:
    """Return what ``specification`` joins, so that a chain of ``&`` or ``|`` stays flat."""
    if type(specification) is kind:
        return specification.specifications
    return (specification,)
