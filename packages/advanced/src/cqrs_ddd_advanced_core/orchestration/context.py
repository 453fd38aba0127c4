"""What the steps of a saga share, as it is kept between them."""

import dataclasses
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, RootModel, TypeAdapter
from pydantic_core import PydanticSerializationError, ValidationError, from_json, to_json

from cqrs_ddd_advanced_core.orchestration.errors import SagaContextError

C = TypeVar("C")

Fields = dict[str, Any]
"""A context as plain JSON, by the names of its fields."""


class ContextCodec(Generic[C]):
    """Turns a context, a pydantic model or a dataclass, into plain JSON and back.

    Args:
        saga_type: the stored name of the saga, for errors.
        context_type: the class of the context.
    """

    def __init__(self, saga_type: str, context_type: type[C]) -> None:
        self._saga_type, self._type = saga_type, context_type
        self._adapter: TypeAdapter[C] = TypeAdapter(context_type)

    def fields_of(self, context: C) -> Fields:
        """Return the context as plain JSON.

        Raises:
            SagaContextError: it is of another class, or does not come back as it is.
        """
        if not isinstance(context, self._type):
            raise self._error(f"cannot be a {type(context).__name__}")
        try:
            data = self._adapter.dump_json(context, round_trip=True, warnings="error")
            again = self._adapter.validate_json(data, by_alias=True, by_name=True)
            is_same = again == context or self._adapter.dump_json(again, round_trip=True) == data
        except (PydanticSerializationError, ValidationError) as error:
            raise self._error(f"cannot be stored: {error}") from error
        if not is_same:
            raise self._error("does not come back from the store as it was")
        return from_json(data)

    def context_of(self, fields: Fields) -> C:
        """Return a context of its own with these fields.

        Raises:
            SagaContextError: they do not fit its class.
        """
        try:
            return self._adapter.validate_json(to_json(fields), by_alias=True, by_name=True)
        except ValidationError as error:
            raise self._error(f"does not fit what is stored: {error}") from error

    def _error(self, problem: str) -> SagaContextError:
        return SagaContextError(self._saga_type, self._type, problem)


def is_context_type(context_type: Any) -> bool:
    """Whether this is a class whose fields can be stored by name."""
    if not isinstance(context_type, type):
        return False
    if dataclasses.is_dataclass(context_type):
        return True
    return issubclass(context_type, BaseModel) and not issubclass(
        context_type, cast("type[Any]", RootModel)
    )


def changes(before: Fields, after: Fields) -> Fields:
    """Return the fields of ``after`` that are not as in ``before``."""
    return {
        name: value for name, value in after.items() if name not in before or before[name] != value
    }
