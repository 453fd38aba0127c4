"""Conditions that each database takes in its own way."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Dialect, any_, bindparam


def is_one_of(
    column: ColumnElement[Any], values: Collection[Any] | str, dialect: Dialect
) -> ColumnElement[bool]:
    """Return the condition that ``column`` is among ``values``, or in the parameter of that name.

    They are one parameter where that works.
    """
    name, given = (values, None) if isinstance(values, str) else (None, list(values))
    if dialect.name == "postgresql":
        kind = ARRAY(BigInteger() if column.type.python_type is int else column.type)
        return column == any_(bindparam(name, given, type_=kind))
    return column.in_(bindparam(name, given, expanding=True))
