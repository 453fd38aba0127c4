"""Builds a specification step by step."""

from typing import Any, Self

from cqrs_ddd_specifications.errors import SpecificationError
from cqrs_ddd_specifications.specification import (
    AndSpecification,
    AttributeSpecification,
    NotSpecification,
    OrSpecification,
    Specification,
)


class SpecificationBuilder:
    """Collects conditions, all of which must hold; groups say otherwise.

    Example:
        >>> specification = (
        ...     SpecificationBuilder()
        ...     .where("status", "==", "active")
        ...     .or_group()
        ...     .where("total", ">", 100)
        ...     .where("express", "=", True)
        ...     .end_group()
        ...     .build()
        ... )
        >>> specification.is_satisfied_by({"status": "active", "total": 5, "express": True})
        True
    """

    def __init__(self) -> None:
        self._groups: list[tuple[str, list[Specification]]] = [("and", [])]

    def where(self, attr: str, op: str, val: Any = None) -> Self:
        """Add a condition on one field (see ``AttributeSpecification``)."""
        return self.add(AttributeSpecification(attr, op, val))

    def add(self, specification: Specification) -> Self:
        """Add a condition made elsewhere."""
        self._groups[-1][1].append(specification)
        return self

    def and_group(self) -> Self:
        """Begin a group all of which must hold."""
        return self._begin("and")

    def or_group(self) -> Self:
        """Begin a group one of which must hold."""
        return self._begin("or")

    def not_group(self) -> Self:
        """Begin a group that must not hold as a whole."""
        return self._begin("not")

    def end_group(self) -> Self:
        """End the innermost group.

        Raises:
            SpecificationError: no group has begun, or it is empty.
        """
        if len(self._groups) == 1:
            raise SpecificationError("end_group() without a group; begin one with or_group().")
        kind, conditions = self._groups.pop()
        if not conditions:
            raise SpecificationError(f"{kind}_group() is empty; add a condition to it.")
        return self.add(_combined(kind, conditions))

    def build(self) -> Specification:
        """Return the specification; without any condition it matches everything.

        Raises:
            SpecificationError: a group has not ended.
        """
        if len(self._groups) > 1:
            raise SpecificationError(f"{self._groups[-1][0]}_group() has no end_group().")
        conditions = self._groups[0][1]
        return conditions[0] if len(conditions) == 1 else AndSpecification(*conditions)

    def reset(self) -> Self:
        """Forget all conditions."""
        self._groups = [("and", [])]
        return self

    def _begin(self, kind: str) -> Self:
        self._groups.append((kind, []))
        return self


def _combined(kind: str, conditions: list[Specification]) -> Specification:
    if kind == "or":
        return OrSpecification(*conditions)
    together = conditions[0] if len(conditions) == 1 else AndSpecification(*conditions)
    return NotSpecification(together) if kind == "not" else together
