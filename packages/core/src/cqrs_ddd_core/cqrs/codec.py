"""Messages as JSON, for pydantic models, dataclasses and classes of your own."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import PydanticSerializationError, from_json, to_json
from pydantic_core import ValidationError as PydanticValidationError

from cqrs_ddd_core.primitives.aware_schema import may_lack_zones
from cqrs_ddd_core.primitives.errors import CQRSDDDError
from cqrs_ddd_core.primitives.instants import with_zones

M = TypeVar("M")


class MessageCodecError(CQRSDDDError):
    """A message cannot be turned into bytes, or bytes into a message.

    Attributes:
        message_type: the class of the message.
    """

    def __init__(self, message_type: type, problem: str) -> None:
        self.message_type = message_type
        super().__init__(f"{message_type.__qualname__}: {problem}")


class JsonMessageCodec:
    """Encodes as JSON: pydantic models and dataclasses by their fields, others by their own words.

    A class of your own takes part with ``to_dict(self)`` and a class method ``from_dict(data)``.
    Decimal, UUID, dates, enums and nested values come back as they were; infinity and NaN, which
    JSON has no numbers for, are written as text. A datetime without a zone is read as UTC.

    Example:
        >>> from dataclasses import dataclass
        >>> from decimal import Decimal
        >>> @dataclass
        ... class Paid:
        ...     amount: Decimal
        >>> codec = JsonMessageCodec()
        >>> codec.decode(Paid, codec.encode(Paid(Decimal("1.10"))))
        Paid(amount=Decimal('1.10'))
    """

    content_type = "application/json"

    def __init__(self) -> None:
        self._adapters: dict[type, TypeAdapter[Any]] = {}
        self._with_floats: set[type] = set()
        self._lacking_zones: set[type] = set()

    def encode(self, message: Any) -> bytes:
        """Return ``message`` as JSON.

        Raises:
            MessageCodecError: its class cannot be encoded, or a value in it cannot.
        """
        message_type = cast("type[Any]", type(message))
        try:
            if hasattr(message_type, "to_dict"):
                return to_json(message.to_dict())
            data = self._adapter(message_type).dump_json(message, round_trip=True)
            if message_type in self._with_floats and b"null" in data:  # it may have been infinity
                data = self._with_infinity(message)
        except (PydanticSerializationError, ValueError) as error:
            raise MessageCodecError(message_type, f"cannot be written as JSON: {error}") from error
        return data

    def decode(self, message_type: type[M], data: bytes) -> M:
        """Return the message that ``data`` holds.

        Raises:
            MessageCodecError: the bytes do not fit the class.
        """
        from_dict: Any = getattr(message_type, "from_dict", None)
        try:
            if from_dict is not None:
                return from_dict(from_json(data))
            adapter = self._adapter(message_type)
            message = adapter.validate_json(data, by_alias=True, by_name=True)
        except (PydanticValidationError, ValueError, KeyError, TypeError) as error:
            raise MessageCodecError(message_type, f"does not fit these bytes: {error}") from error
        return with_zones(message) if message_type in self._lacking_zones else message

    def _with_infinity(self, message: Any) -> bytes:
        adapter = self._adapter(cast("type[Any]", type(message)))
        plain = adapter.dump_python(message, mode="json", round_trip=True)
        return to_json(plain, inf_nan_mode="strings")

    def _adapter(self, message_type: type[Any]) -> TypeAdapter[Any]:
        adapter = self._adapters.get(message_type)
        if adapter is None:
            try:
                adapter = TypeAdapter(message_type)
            except PydanticSchemaGenerationError as error:
                raise MessageCodecError(
                    message_type,
                    "is neither a pydantic model nor a dataclass; give it to_dict(self) and a "
                    "class method from_dict(data), or use a codec of your own.",
                ) from error
            self._adapters[message_type] = adapter
            if _has_float(adapter.core_schema):
                self._with_floats.add(message_type)
            if may_lack_zones(adapter.core_schema):
                self._lacking_zones.add(message_type)
        return adapter


def _has_float(schema: Any) -> bool:
    """Whether a float stands anywhere in a schema of pydantic's."""
    if isinstance(schema, Mapping):
        nested = cast("Mapping[str, Any]", schema)
        return nested.get("type") == "float" or any(map(_has_float, nested.values()))
    return isinstance(schema, list | tuple) and any(map(_has_float, cast("list[Any]", schema)))
