"""Sums, averages and the like, with the same answers from every database."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, func

from cqrs_ddd_core.adapters.memory.search import average
from cqrs_ddd_core.ports import Aggregation
from cqrs_ddd_persistence_sqlalchemy.specifications import Field
from cqrs_ddd_persistence_sqlalchemy.specifications.dialect import SqlDialect


class Figures:
    """The aggregations of one search.

    Attributes:
        columns: what to select; an average is read as a sum and a count, and divided here.
        orders: what to order by for each figure, by its key.
    """

    def __init__(
        self,
        aggregations: Sequence[Aggregation],
        resolve: Callable[[str], Field],
        dialect: SqlDialect,
    ) -> None:
        self.columns: list[ColumnElement[Any]] = []
        self.orders: dict[str, ColumnElement[Any]] = {}
        self._readers: list[tuple[str, Callable[[RowMapping], Any]]] = []
        for figure in aggregations:
            self._add(figure, resolve(figure.field), dialect)

    def read(self, row: RowMapping) -> dict[str, Any]:
        """Return the figures of a row."""
        return {key: read(row) for key, read in self._readers}

    def _add(self, figure: Aggregation, field: Field, dialect: SqlDialect) -> None:
        key, function = figure.key, figure.function
        if function == "count":
            present = dialect.value(field) if field.python_type else dialect.document(field)
            self._select(key, func.count(present), lambda row: row[key])
        elif function == "sum":
            exact = _sum_reader(field)
            self._select(key, dialect.total(field), lambda row: exact(row[key]))
        elif function == "avg":
            self._add_average(key, field, dialect)
        else:
            read = field.reader()
            value = dialect.value(field)
            chosen = func.min(value) if function == "min" else func.max(value)
            self._select(key, chosen, lambda row: read(row[key]))

    def _add_average(self, key: str, field: Field, dialect: SqlDialect) -> None:
        total, number, exact = f"{key}__sum", f"{key}__count", _sum_reader(field)
        self.columns += [
            dialect.total(field).label(total),
            func.count(dialect.value(field)).label(number),
        ]
        self.orders[key] = func.avg(dialect.value(field))

        def read(row: RowMapping) -> Any:
            return average(exact(row[total]), row[number]) if row[number] else None

        self._readers.append((key, read))

    def _select(
        self, key: str, column: ColumnElement[Any], read: Callable[[RowMapping], Any]
    ) -> None:
        self.columns.append(column.label(key))
        self.orders[key] = column
        self._readers.append((key, read))


def _sum_reader(field: Field) -> Callable[[Any], Any]:
    """Return what gives a sum the type that Python's own would have."""
    convert = _SUMS.get(field.python_type)
    return lambda value: value if value is None or convert is None else convert(value)


def _decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))


_SUMS: dict[type | None, Callable[[Any], Any]] = {int: int, float: float, Decimal: _decimal}
