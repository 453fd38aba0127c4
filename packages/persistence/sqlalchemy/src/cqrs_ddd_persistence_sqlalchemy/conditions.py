"""Conditions that each database takes in its own way."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Dialect, any_, bindparam


def is_one_of(
    column: ColumnElement[Any], values: Collection[Any], dialect: Dialect
) -> ColumnElement[bool]:
    """Return the condition that ``column`` is among ``values``: one parameter where that works."""
    given = list(values)
    if dialect.name == "postgresql":
        kind = ARRAY(BigInteger() if column.type.python_type is int else column.type)
        return column == any_(bindparam(None, given, type_=kind))
    return column.in_(bindparam(None, given, expanding=True))
