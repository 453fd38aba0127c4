"""Whether a message is valid, before it is handled."""

from cqrs_ddd_core.validation.result import ValidationResult
from cqrs_ddd_core.validation.validators import CompositeValidator, PydanticValidator

__all__ = ["CompositeValidator", "PydanticValidator", "ValidationResult"]
