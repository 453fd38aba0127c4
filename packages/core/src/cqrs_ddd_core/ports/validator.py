"""The port that tells whether a message is valid."""

from collections.abc import Awaitable
from typing import Any, Protocol, runtime_checkable

from cqrs_ddd_core.validation.result import ValidationResult


@runtime_checkable
class IValidator(Protocol):
    """Checks messages before they are handled; may be a coroutine function."""

    def validate(self, message: Any, /) -> ValidationResult | Awaitable[ValidationResult]:
        """Return what is wrong with ``message``; nothing, when it is valid."""
        ...
