"""Validators: by pydantic's rules, and several in one."""

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, Self, cast

from pydantic import BaseModel, TypeAdapter
from pydantic import ValidationError as PydanticValidationError

from cqrs_ddd_core.validation.result import ValidationResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cqrs_ddd_core.ports.validator import IValidator


class PydanticValidator:
    """Checks a message's fields against their annotations, however the message was made.

    Pydantic models (also those built by ``model_construct``) and dataclasses are checked; classes
    of your own are taken as valid.
    """

    def __init__(self) -> None:
        self._adapters: dict[type, TypeAdapter[Any]] = {}

    def validate(self, message: Any, /) -> ValidationResult:
        """Return what is wrong with ``message``, by field."""
        message_type = cast("type[Any]", type(message))
        if isinstance(message, BaseModel):
            names = [name for name in type(message).model_fields if name in message.__dict__]
            values = {name: message.__dict__[name] for name in names}
        elif dataclasses.is_dataclass(message_type):
            values = {
                field.name: getattr(message, field.name) for field in dataclasses.fields(message)
            }
        else:
            return ValidationResult.success()
        adapter = self._adapters.get(message_type)
        if adapter is None:
            adapter = self._adapters[message_type] = TypeAdapter(message_type)
        try:
            adapter.validate_python(values, by_alias=True, by_name=True)
        except PydanticValidationError as error:
            result = ValidationResult()
            for problem in error.errors():
                result.add_error(".".join(map(str, problem["loc"])), problem["msg"])
            return result
        return ValidationResult.success()


class CompositeValidator:
    """Asks several validators and puts together what they find."""

    def __init__(self, validators: "Iterable[IValidator]" = ()) -> None:
        self._validators = list(validators)

    def add(self, validator: "IValidator") -> Self:
        """Ask ``validator`` as well, and return this one."""
        self._validators.append(validator)
        return self

    async def validate(self, message: Any, /) -> ValidationResult:
        """Return what all of them find."""
        result = ValidationResult()
        for validator in self._validators:
            found: Any = validator.validate(message)
            if inspect.isawaitable(found):
                found = await found
            result = result.merge(found)
        return result
