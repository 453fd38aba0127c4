"""What a validator found."""

from collections.abc import Mapping, Sequence
from typing import Self


class ValidationResult:
    """Messages by field; valid, and true, when there is none.

    Example:
        >>> result = ValidationResult.failure({"quantity": ["must be positive"]})
        >>> result.is_valid, bool(ValidationResult.success())
        (False, True)
    """

    def __init__(self, errors: Mapping[str, Sequence[str]] | None = None) -> None:
        self.errors = {field: list(messages) for field, messages in (errors or {}).items()}

    @classmethod
    def success(cls) -> Self:
        """Return a result without errors."""
        return cls()

    @classmethod
    def failure(cls, errors: Mapping[str, Sequence[str]]) -> Self:
        """Return a result with these messages by field."""
        return cls(errors)

    @property
    def is_valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.errors

    def __bool__(self) -> bool:
        return self.is_valid

    def add_error(self, field: str, message: str) -> Self:
        """Add a message to a field and return this result."""
        self.errors.setdefault(field, []).append(message)
        return self

    def merge(self, other: "ValidationResult") -> "ValidationResult":
        """Return the messages of both."""
        merged = ValidationResult(self.errors)
        for field, messages in other.errors.items():
            for message in messages:
                merged.add_error(field, message)
        return merged
