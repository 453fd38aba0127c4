"""A statement that writes as a part of another, with the number of its rows."""

from sqlalchemy import (
    CTE,
    Delete,
    Insert,
    Integer,
    ScalarSelect,
    Update,
    func,
    literal_column,
    select,
)


def counted_part(
    statement: Insert | Update | Delete, name: str
) -> tuple[list[CTE], ScalarSelect[int]]:
    """Return ``statement`` as a part called ``name``, and how many rows it wrote."""
    part = statement.returning(literal_column("1", Integer()).label("one")).cte(name)
    return [part], select(func.count()).select_from(part).scalar_subquery()
