"""Tells from a database's error that it lacks an operator, and says what to do."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy.exc import DBAPIError

from cqrs_ddd_core.ports import ISpecification
from cqrs_ddd_persistence_sqlalchemy.errors import sqlstate_of
from cqrs_ddd_specifications import (
    AndSpecification,
    AttributeSpecification,
    NotSpecification,
    Operator,
    OrSpecification,
    UnsupportedOperatorError,
)
from cqrs_ddd_specifications.operators import GEOMETRY_OPERATORS

_NO_FUNCTION = {"42883", "1305", "1128"}
_NO_COLLATION = {"42704", "1273"}
_BAD_PATTERN = {"2201B", "1139", "3685", "3688", "3692"}
_REGEX = frozenset({Operator.REGEX, Operator.IREGEX})


def missing_operator(
    error: DBAPIError, specification: ISpecification[Any] | None, database: str
) -> UnsupportedOperatorError | None:
    """Return what ``error`` means, where the database lacks an operator of ``specification``."""
    used = list(_operators_of(specification))
    code, reason = sqlstate_of(error), str(error.orig)
    if code in _BAD_PATTERN:
        return _unsupported(
            [operator for operator in used if operator in _REGEX],
            f"with this pattern on {database}",
            f"Write the pattern as the database has it: {reason}",
        )
    if code in _NO_FUNCTION and (geometry := [o for o in used if o in GEOMETRY_OPERATORS]):
        where = "without PostGIS" if database == "postgresql" else f"on this {database}"
        return _unsupported(geometry, where, _GEOMETRY.get(database, _OTHER_GEOMETRY))
    if "no such function: cqrs_" in reason:
        return _unsupported(used, "on this engine", "Make it by create_engine(url).")
    if code in _NO_FUNCTION | _NO_COLLATION:
        return _unsupported(used, f"on this {database}", f"The database says: {reason}")
    return None


def _unsupported(
    operators: list[Operator], where: str, fix: str
) -> UnsupportedOperatorError | None:
    names = ", ".join(dict.fromkeys(operator.value for operator in operators))
    return UnsupportedOperatorError(names, where, fix) if names else None


def _operators_of(specification: ISpecification[Any] | None) -> Iterator[Operator]:
    match specification:
        case AttributeSpecification(op=operator):
            yield operator
        case (
            AndSpecification(specifications=parts)
            | OrSpecification(specifications=parts)
            | NotSpecification(specifications=parts)
        ):
            for part in parts:
                yield from _operators_of(part)
        case _:
            return


_GEOMETRY = {"postgresql": "Install it in the database: CREATE EXTENSION postgis."}
_OTHER_GEOMETRY = "Use a version with the geometry functions, or test for it in memory."
