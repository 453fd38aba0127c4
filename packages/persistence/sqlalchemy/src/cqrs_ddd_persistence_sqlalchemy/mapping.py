"""How an aggregate becomes a row: by its fields, without knowing of it."""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import BigInteger, Column, MetaData, Table
from sqlalchemy.orm import DeclarativeBase

from cqrs_ddd_core.domain.aggregate import restore_version
from cqrs_ddd_persistence_sqlalchemy.errors import MappingError
from cqrs_ddd_persistence_sqlalchemy.field_types import FieldType, annotations_of, field_type
from cqrs_ddd_persistence_sqlalchemy.types import column_type

T = TypeVar("T")
ID, VERSION = "id", "version"
_VERSION_FIELD = FieldType(int, int, nullable=False)


class IMapping(Protocol[T]):
    """Turns aggregates of one class into rows of one table and back."""

    @property
    def aggregate_type(self) -> type[T]:
        """The class of the aggregates."""
        ...

    @property
    def table(self) -> Table:
        """The table."""
        ...

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """The fields that can be asked about, ``id`` and ``version`` among them."""
        ...

    @property
    def columns(self) -> Mapping[str, Column[Any]]:
        """The column of each field."""
        ...

    def dump(self, aggregate: T) -> dict[str, Any]:
        """Return the row of ``aggregate`` by column names, its version left out."""
        ...

    def restore(self, row: Mapping[str, Any]) -> T:
        """Return the aggregate of a row, its version included."""
        ...


class AggregateMapping(Generic[T]):
    """A table of one row an aggregate: scalar fields in typed columns, anything else as JSON.

    Args:
        aggregate_type: a pydantic model or a dataclass with a field ``id``.
        table: the name of the table to be made, by default the class's name in the plural; or a
            table or an ORM model of your own, which has a column for the version.
        columns: the column's name by the field's, where the two differ.
        dump: returns the row of an aggregate by column names, where the default will not do.
        restore: returns the aggregate of a row, where the default will not do.

    Raises:
        MappingError: class and table do not go together.

    Example:
        >>> from cqrs_ddd_core import AggregateRoot
        >>> class Order(AggregateRoot[str]):
        ...     total: int
        >>> mapping = AggregateMapping(Order)
        >>> mapping.table.name, mapping.dump(Order(id="o-1", total=3))
        ('orders', {'id': 'o-1', 'total': 3})
    """

    def __init__(
        self,
        aggregate_type: type[T],
        table: str | Table | type[DeclarativeBase] | None = None,
        *,
        columns: Mapping[str, str] | None = None,
        dump: Callable[[T], dict[str, Any]] | None = None,
        restore: Callable[[Mapping[str, Any]], T] | None = None,
    ) -> None:
        self.aggregate_type = aggregate_type
        declared = {
            name: field_type(annotation)
            for name, annotation in (annotations_of(aggregate_type) or {}).items()
        }
        if isinstance(table, str) or table is None:
            table = _new_table(aggregate_type, declared, table)
        self.table: Table = table if isinstance(table, Table) else _table_of(table)
        names = {**{name: name for name in (*declared, VERSION)}, **(columns or {})}
        self.columns: dict[str, Column[Any]] = {
            field: self.table.c[name] for field, name in names.items() if name in self.table.c
        }
        fields = {**declared, VERSION: _VERSION_FIELD}
        self.fields = {name: field for name, field in fields.items() if name in self.columns}
        self._check(declared, custom=dump is not None and restore is not None)
        self._dump, self._restore = dump, restore
        self._writers = [
            (name, self.columns[name].name, _writer(field))
            for name, field in declared.items()
            if name in self.columns
        ]
        self._adapter: TypeAdapter[Any] | None = None if restore else TypeAdapter(aggregate_type)

    def dump(self, aggregate: T) -> dict[str, Any]:
        """Return the row of ``aggregate``, its version left out."""
        if self._dump is not None:
            return self._dump(aggregate)
        return {column: write(getattr(aggregate, field)) for field, column, write in self._writers}

    def restore(self, row: Mapping[str, Any]) -> T:
        """Return the aggregate of a row.

        Raises:
            MappingError: the row does not fit the class, which must have changed.
        """
        aggregate = self._restore(row) if self._restore is not None else self._validated(row)
        restore_version(aggregate, row[self.columns[VERSION].name])
        return aggregate

    def _validated(self, row: Mapping[str, Any]) -> T:
        assert self._adapter is not None
        values = {field: row[column] for field, column, _ in self._writers}
        try:
            return self._adapter.validate_python(values)
        except ValueError as error:
            raise MappingError(
                f"The row {values['id']!r} of {self.table.name} does not fit "
                f"{self.aggregate_type.__name__}: {error}. Migrate the table."
            ) from error

    def _check(self, declared: Mapping[str, FieldType], *, custom: bool) -> None:
        """Refuse what could not be read back."""
        name = self.aggregate_type.__name__
        for needed in (ID, VERSION):
            if needed not in self.columns:
                raise MappingError(
                    f"{self.table.name} has no column for the {needed} of {name}. Add one, or name "
                    f"it: AggregateMapping({name}, ..., columns={{{needed!r}: 'column'}})."
                )
        missing = [field for field in declared if field not in self.columns]
        if missing and not custom:
            raise MappingError(
                f"{self.table.name} has no column for {', '.join(missing)} of {name}. Name it with "
                "columns=..., or give both dump=... and restore=..."
            )


@lru_cache(maxsize=512)
def default_mapping(
    aggregate_type: type[Any], table: str | Table | type[DeclarativeBase] | None
) -> AggregateMapping[Any]:
    """Return the mapping of a class by its fields, made once."""
    return AggregateMapping(aggregate_type, table)


def mapping_of(aggregate_type: type[Any], options: Mapping[str, Any]) -> IMapping[Any]:
    """Return the mapping that a repository was declared with.

    Raises:
        MappingError: it was declared with an option that does not exist.
    """
    unknown = options.keys() - {"table", "mapping"}
    if unknown:
        raise MappingError(
            f"repository({aggregate_type.__name__}, ...) takes table=... or mapping=..., not "
            f"{', '.join(sorted(unknown))}."
        )
    return options.get("mapping") or default_mapping(aggregate_type, options.get("table"))


def _new_table(
    aggregate_type: type[Any], declared: Mapping[str, FieldType], name: str | None
) -> Table:
    if ID not in declared:
        raise MappingError(
            f"{aggregate_type.__name__} has no field 'id'. Make it a pydantic model or a dataclass "
            "with one, or give repository(..., mapping=...) a mapping of your own."
        )
    if VERSION in declared:
        raise MappingError(
            f"{aggregate_type.__name__} has a field 'version' of its own, but the version is the "
            "unit of work's to keep. Rename the field."
        )
    return Table(
        name or _table_name(aggregate_type.__name__),
        MetaData(),
        *(_column(field, declared[field]) for field in declared),
        Column(VERSION, BigInteger(), nullable=False),
    )


def _column(name: str, field: FieldType) -> Column[Any]:
    key = name == ID
    return Column(
        name,
        column_type(field.python_type, key=key),
        primary_key=key,
        nullable=field.nullable and not key,
        autoincrement=False,
    )


def _table_of(model: type[DeclarativeBase]) -> Table:
    table: Table | None = getattr(model, "__table__", None)
    if not isinstance(table, Table):
        raise MappingError(f"{model!r} is neither a table nor an ORM model of one table.")
    return table


def _writer(field: FieldType) -> Callable[[Any], Any]:
    """Return what turns a field's value into its column's."""
    if field.python_type is None:
        adapter: TypeAdapter[Any] = TypeAdapter(field.annotation)
        return lambda value: None if value is None else adapter.dump_python(value, mode="json")
    return lambda value: value.value if isinstance(value, Enum) else value


def _table_name(class_name: str) -> str:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()
    return f"{snake}es" if snake.endswith("s") else f"{snake}s"
