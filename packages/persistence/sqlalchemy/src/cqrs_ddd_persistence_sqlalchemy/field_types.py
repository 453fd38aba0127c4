"""What the declared type of a field says about its column."""

import dataclasses
import types
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from cqrs_ddd_persistence_sqlalchemy.types import is_scalar


class FieldType(NamedTuple):
    """A field's annotation, taken apart.

    Attributes:
        python_type: the scalar type of its column; None where it is kept as JSON.
        annotation: as it is declared.
        nullable: whether it may be None.
    """

    python_type: type | None
    annotation: Any
    nullable: bool


def field_type(annotation: Any) -> FieldType:
    """Take an annotation apart: what column it wants, and whether it may be None.

    Example:
        >>> field_type(int | None)
        FieldType(python_type=<class 'int'>, annotation=int | None, nullable=True)
    """
    bare, nullable = without_none(annotation)
    if isinstance(bare, type) and issubclass(bare, Enum):
        kinds: set[type[Any]] = {type(member.value) for member in bare}
        bare = kinds.pop() if len(kinds) == 1 else None
    return FieldType(bare if is_scalar(bare) else None, annotation, nullable)


def without_none(annotation: Any) -> tuple[Any, bool]:
    """Return an annotation without ``Annotated`` and ``None``, and whether it had None."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not types.NoneType]
        nullable = len(options) < len(get_args(annotation))
        if len(options) == 1:
            return without_none(options[0])[0], nullable
        return annotation, nullable
    return annotation, annotation is Any or annotation is types.NoneType


def annotations_of(annotation: Any) -> Mapping[str, Any] | None:
    """Return the declared fields of a pydantic model or a dataclass; None for anything else."""
    if not isinstance(annotation, type):
        return None
    model: type[Any] = annotation
    if issubclass(model, BaseModel):
        return {name: field.annotation for name, field in model.model_fields.items()}
    if dataclasses.is_dataclass(model):
        hints = get_type_hints(model, include_extras=True)
        return {field.name: hints[field.name] for field in dataclasses.fields(model)}
    return None
