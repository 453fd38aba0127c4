"""How a specification goes wrong."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Self

from cqrs_ddd_core.primitives.query_errors import QueryError


class SpecificationError(QueryError):
    """A specification that means nothing, or cannot be evaluated.

    Attributes:
        path: where it stands in the data that the specification was read from; None without data.
    """

    path: str | None = None

    def at(self, path: str) -> Self:
        """Say where in the data it stands, and return it."""
        self.path = path
        self.args = (f"At {path}: {self}",)
        return self


class OperatorNotFoundError(SpecificationError):
    """There is no such operator."""

    def __init__(self, operator: str, known: Iterable[str]) -> None:
        self.operator = operator
        self.suggestions = get_close_matches(operator.lower(), list(known), n=3)
        super().__init__(f"There is no operator {operator!r}.{_hint(self.suggestions)}")


class OperandError(SpecificationError):
    """A value that the operator cannot use on this field."""

    def __init__(self, attr: str, operator: str, problem: str) -> None:
        self.attr, self.operator, self.problem = attr, operator, problem
        super().__init__(f"{attr} {operator}: {problem}")


class FieldNotQueryableError(SpecificationError):
    """A field or operator that is not on the list of what may be asked."""

    def __init__(self, what: str, name: str, allowed: Iterable[str]) -> None:
        self.what, self.name, self.allowed = what, name, sorted(allowed)
        self.suggestions = get_close_matches(name, self.allowed, n=3)
        super().__init__(
            f"The {what} {name!r} is not allowed here; allowed are {', '.join(self.allowed)}."
            f"{_hint(self.suggestions)}"
        )


class SpecificationFormatError(SpecificationError):
    """Data that describes no specification.

    Attributes:
        path: where in the data it stands.
    """

    def __init__(self, path: str, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)
        self.at(path)


class UnsupportedOperatorError(SpecificationError):
    """An operator that this store, or this installation, does not have."""

    def __init__(self, operator: str, where: str, fix: str) -> None:
        self.operator, self.where = operator, where
        super().__init__(f"{operator!r} is not available {where}. {fix}")


def _hint(suggestions: list[str]) -> str:
    return f" Did you mean {' or '.join(map(repr, suggestions))}?" if suggestions else ""
