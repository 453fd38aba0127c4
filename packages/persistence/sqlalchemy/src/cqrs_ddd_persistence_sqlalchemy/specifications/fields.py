"""Finds the column, and the place inside its JSON, that a dotted path means."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement

from cqrs_ddd_core.primitives.query_errors import FieldNotFoundError
from cqrs_ddd_persistence_sqlalchemy.field_types import (
    FieldType,
    annotations_of,
    field_type,
    without_none,
)
from cqrs_ddd_persistence_sqlalchemy.mapping import IMapping


class Field(NamedTuple):
    """One field as a query names it.

    Attributes:
        path: its name, as asked for.
        column: the column it is in.
        steps: where in the column's JSON it stands; empty for the column itself.
        python_type: the scalar type of its values; None for JSON, and where it is not known.
        annotation: the type it is declared with.
        nullable: whether it may be null.
    """

    path: str
    column: ColumnElement[Any]
    steps: tuple[str, ...]
    python_type: type | None
    annotation: Any
    nullable: bool

    @property
    def is_untyped(self) -> bool:
        """Whether just the data tells the type: it stands in JSON that is declared as anything."""
        return self.annotation is Any or self.annotation is object

    def as_type(self, python_type: type | None) -> "Field":
        """Return the field with its values taken for this scalar type."""
        return self._replace(python_type=python_type)

    def reader(self) -> Callable[[Any], Any]:
        """Return what turns a value from the database into the one that memory holds."""
        return _reader(self.annotation) if self.annotation is not Any else lambda value: value


class FieldResolver:
    """Resolves the paths of one mapping."""

    def __init__(self, mapping: IMapping[Any]) -> None:
        self._mapping = mapping
        self._found: dict[str, Field] = {}

    def __call__(self, path: str) -> Field:
        """Return the field at ``path``.

        Raises:
            FieldNotFoundError: there is none.
        """
        found = self._found.get(path)
        if found is None:
            found = self._found[path] = self._resolve(path)
        return found

    def _resolve(self, path: str) -> Field:
        name, *steps = path.split(".")
        fields: Mapping[str, FieldType] = self._mapping.fields
        if name not in fields:
            raise FieldNotFoundError(path, fields)
        top, column = fields[name], self._mapping.columns[name]
        if not steps:
            return Field(path, column, (), top.python_type, top.annotation, top.nullable)
        annotation = top.annotation
        if top.python_type is not None:
            raise FieldNotFoundError(path, fields)
        for position, step in enumerate(steps, start=1):
            above = ".".join(path.split(".")[:position])
            annotation = _annotation_below(annotation, step, above, path)
        leaf = field_type(annotation)
        return Field(path, column, tuple(steps), leaf.python_type, annotation, nullable=True)


@lru_cache(maxsize=512)
def resolver_of(mapping: IMapping[Any]) -> FieldResolver:
    """Return the resolver of a mapping, made once."""
    return FieldResolver(mapping)


def _annotation_below(annotation: Any, name: str, above: str, path: str) -> Any:
    """Return the declared type of what ``name`` means inside ``above``, which is of this type."""
    bare, _ = without_none(annotation)
    origin = get_origin(bare)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        arguments = get_args(bare)
        return arguments[1] if len(arguments) > 1 else Any
    if bare is Any or bare is object:
        return Any
    members = annotations_of(bare) or {}
    if name not in members:
        raise FieldNotFoundError(path, [f"{above}.{known}" for known in members])
    return members[name]


_readers: dict[Any, Callable[[Any], Any]] = {}


def _reader(annotation: Any) -> Callable[[Any], Any]:
    try:
        found = _readers.get(annotation)
    except TypeError:  # an annotation that cannot be hashed
        return _lenient(annotation)
    if found is None:
        found = _readers[annotation] = _lenient(annotation)
    return found


def _lenient(annotation: Any) -> Callable[[Any], Any]:
    """Return a reader under which None passes, for what is below a missing object is None."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    return lambda value: None if value is None else adapter.validate_python(value)
