"""Refuses messages that are not valid, before anything is opened for them."""

import inspect
from typing import Any, ClassVar

from cqrs_ddd_core.ports.middleware import NextHandler
from cqrs_ddd_core.ports.validator import IValidator
from cqrs_ddd_core.primitives.errors import ValidationError
from cqrs_ddd_core.validation import PydanticValidator


class ValidatorMiddleware:
    """Checks each message with ``validator``; with its own pydantic rules by default.

    Raises:
        ValidationError: from ``send``, with the messages by field.
    """

    surrounds_unit_of_work: ClassVar[bool] = True

    def __init__(self, validator: IValidator | None = None) -> None:
        self._validator = validator or PydanticValidator()

    async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
        """Handle ``message`` if it is valid."""
        result: Any = self._validator.validate(message)
        if inspect.isawaitable(result):
            result = await result
        if not result.is_valid:
            raise ValidationError(type(message).__name__, result.errors)
        return await next_handler(message)
