"""Reads specifications from data, which may come from anybody."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, cast

from pydantic_core import from_json

from cqrs_ddd_specifications.encoding import decoded_value
from cqrs_ddd_specifications.errors import (
    FieldNotQueryableError,
    SpecificationError,
    SpecificationFormatError,
)
from cqrs_ddd_specifications.operators import Operator, Takes, operator_named, takes
from cqrs_ddd_specifications.specification import (
    AndSpecification,
    AttributeSpecification,
    NotSpecification,
    OrSpecification,
    Specification,
)

_COMPOSITES = {"and": AndSpecification, "or": OrSpecification}
_KEYS = ("op", "attr", "val", "value_type")


class SpecificationFactory:
    """Makes specifications from dicts and JSON, within limits.

    A condition is ``{"op", "attr", "val"}``; several are ``{"op": "and", "conditions": [...]}``,
    and so are ``or`` and ``not`` (see ``Specification.to_dict``).

    Args:
        allowed_fields: the fields that may be asked about; None allows all.
        allowed_operators: the operators that may be used, in any spelling; None allows all. Leave
            ``regex`` out for strangers: an expression can be made to run for very long.
        max_depth: how deep conditions may be nested.
        max_conditions: how many there may be in all.
        max_values: how many values one condition may hold, those inside lists and objects included.

    Example:
        >>> SpecificationFactory().from_dict({"op": ">", "attr": "total", "val": 1}).to_dict()
        {'op': '>', 'attr': 'total', 'val': 1}
    """

    def __init__(
        self,
        *,
        allowed_fields: Collection[str] | None = None,
        allowed_operators: Collection[str] | None = None,
        max_depth: int = 16,
        max_conditions: int = 200,
        max_values: int = 1000,
    ) -> None:
        self._fields = None if allowed_fields is None else frozenset(allowed_fields)
        self._operators = (
            None
            if allowed_operators is None
            else frozenset(operator_named(name) for name in allowed_operators)
        )
        self._max_depth, self._max_conditions = max_depth, max_conditions
        self._max_values = max_values

    def from_json(self, text: str | bytes) -> Specification:
        """Return the specification that ``text`` describes (see ``from_dict``)."""
        try:
            data = from_json(text)
        except ValueError as error:
            raise SpecificationFormatError("$", f"this is no JSON: {error}") from error
        return self.from_dict(data)

    def from_dict(self, data: Any) -> Specification:
        """Return the specification that ``data`` describes.

        Every error says in ``path`` where in the data it stands.

        Raises:
            SpecificationFormatError: it describes none, or too large a one.
            OperatorNotFoundError: an operator does not exist.
            OperandError: a value is not what its operator takes.
            FieldNotQueryableError: a field or operator is not allowed.
        """
        return _Reading(self._max_conditions).node(self, data, "$", self._max_depth)

    def validate(self, data: Any) -> None:
        """Check ``data`` and raise what ``from_dict`` raises."""
        self.from_dict(data)

    def leaf(self, data: Mapping[str, Any], path: str) -> AttributeSpecification:
        """Return the condition on one field that ``data`` describes."""
        try:
            return self._leaf(data, path)
        except SpecificationError as error:
            if error.path is None:
                error.at(path)
            raise

    def _leaf(self, data: Mapping[str, Any], path: str) -> AttributeSpecification:
        operator = operator_named(_text_of(data, "op", "an operator", path))
        attr = _text_of(data, "attr", "a field", path)
        if self._fields is not None and attr not in self._fields:
            raise FieldNotQueryableError("field", attr, self._fields)
        if self._operators is not None and operator not in self._operators:
            raise FieldNotQueryableError("operator", operator, self._operators)
        _check_keys(data, operator, path)
        left = _counted(data.get("val"), self._max_values, self._max_depth)
        if left < 0:
            raise SpecificationFormatError(path, "'val' holds too many values, or too deep ones.")
        return AttributeSpecification(attr, operator, decoded_value(dict(data), path))


class _Reading:
    """One pass over one piece of data."""

    def __init__(self, max_conditions: int) -> None:
        self._left = max_conditions

    def node(
        self, factory: SpecificationFactory, data: Any, path: str, depth: int
    ) -> Specification:
        self._left -= 1
        if self._left < 0 or depth <= 0:
            raise SpecificationFormatError(path, "there are too many conditions, or too deep ones.")
        if not isinstance(data, Mapping):
            raise SpecificationFormatError(path, f"a condition is an object, not {data!r}.")
        mapping = cast("Mapping[str, Any]", data)
        kind = mapping.get("op")
        if not isinstance(kind, str) or kind not in {"and", "or", "not"}:
            return factory.leaf(mapping, path)
        children = _children(mapping, path)
        nodes = [
            self.node(factory, child, f"{path}.conditions[{position}]", depth - 1)
            for position, child in enumerate(children)
        ]
        if kind == "not":
            return NotSpecification(nodes[0] if len(nodes) == 1 else AndSpecification(*nodes))
        return _COMPOSITES[kind](*nodes)


def _children(data: Mapping[str, Any], path: str) -> list[Any]:
    children: Any = data.get("conditions", [data["condition"]] if "condition" in data else None)
    if not isinstance(children, list) or (not children and data["op"] == "not"):
        raise SpecificationFormatError(path, f"{data['op']!r} needs a list 'conditions'.")
    return cast("list[Any]", children)


def _text_of(data: Mapping[str, Any], key: str, what: str, path: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise SpecificationFormatError(path, f"a condition needs {key!r}, the name of {what}.")
    return value


def _check_keys(data: Mapping[str, Any], operator: Operator, path: str) -> None:
    for key in data:
        if key not in _KEYS:
            close = get_close_matches(str(key), _KEYS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise SpecificationFormatError(path, f"a condition has no {key!r}.{hint}")
    if "val" not in data and takes(operator) is not Takes.NOTHING:
        raise SpecificationFormatError(path, f"{operator!r} needs 'val'; null has to be said.")


def _counted(value: Any, left: int, depth: int) -> int:
    """Return how many values are left; negative when there are too many or too deep ones."""
    left -= 1
    if isinstance(value, Mapping):
        value = list(cast("Mapping[str, Any]", value).values())
    if not isinstance(value, list | tuple | set | frozenset):
        return left
    if depth == 0:
        return -1
    for item in cast("list[Any]", value):
        left = _counted(item, left, depth - 1)
        if left < 0:
            break
    return left
