"""An INSERT of any number of rows as one statement of PostgreSQL, whatever their number."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    CTE,
    JSON,
    Boolean,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    ScalarSelect,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    bindparam,
    column,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from cqrs_ddd_persistence_sqlalchemy.counting import counted_part
from cqrs_ddd_persistence_sqlalchemy.types import ExactDecimal, PlainUuid, UtcDateTime

_OURS = (UtcDateTime, ExactDecimal, PlainUuid)
_PLAIN = (Boolean, Date, DateTime, Float, Integer, JSON, LargeBinary, Uuid)
_POSTGRESQL = postgresql.dialect()


class ManyRows(NamedTuple):
    """The rows as one array a column (see ``ITemplate``).

    Attributes:
        table: where.
        columns: the columns to be set.
    """

    table: Table
    columns: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What it does."""
        return "insert"

    @property
    def are_possible(self) -> bool:
        """Whether an array can hold what each column does."""
        return None not in (_element(self.table.c[name].type) for name in self.columns)

    def values(self, rows: Sequence[Any]) -> dict[str, list[Any]]:
        """Return the parameters for ``rows``."""
        return {name: [row[name] for row in rows] for name in self.columns}

    def counted(self, name: str) -> tuple[list[CTE], ScalarSelect[int]]:
        """Return the statement as a part of another, and how many rows it wrote."""
        kinds: dict[str, Any] = {n: _element(self.table.c[n].type) for n in self.columns}
        arrays = [bindparam(f"{name}_{n}", type_=ARRAY(k, dimensions=1)) for n, k in kinds.items()]
        rows = (
            func.unnest(*arrays)
            .table_valued(
                *(column(n, kind) for n, kind in kinds.items()),
                with_ordinality="ordinal",
                name=f"{name}_row",
            )
            .render_derived()
        )
        in_order = select(*(rows.c[n] for n in kinds)).order_by(rows.c.ordinal)
        statement = insert(self.table).from_select(list(kinds), in_order, include_defaults=False)
        return counted_part(statement, name)


def _element(kind: TypeEngine[Any]) -> TypeEngine[Any] | None:
    """Return the type of an array's elements for values of ``kind``; None where it may not do.

    Text and numbers get no length: a cast would cut what an INSERT refuses.
    """
    if isinstance(kind, _OURS):
        return kind
    found = kind.dialect_impl(_POSTGRESQL)
    if isinstance(found, TypeDecorator | Enum):
        return None
    if isinstance(found, String):
        return Text()
    if isinstance(found, _PLAIN):
        return kind
    return Numeric() if isinstance(found, Numeric) else None
