"""The one error hierarchy of the toolkit; every error carries its data and says what to do."""

from collections.abc import Mapping, Sequence


class CQRSDDDError(Exception):
    """Base of every error the toolkit raises on purpose."""


class DomainError(CQRSDDDError):
    """A business rule refused a change; derive the errors of your own domain from it."""


class InvariantViolationError(DomainError):
    """An aggregate was asked into a state that its rules forbid."""


class NotFoundError(DomainError):
    """Something that was named does not exist."""


class EntityNotFoundError(NotFoundError):
    """No entity of this type has this id."""

    def __init__(self, entity_type: str, entity_id: object) -> None:
        self.entity_type, self.entity_id = entity_type, entity_id
        super().__init__(f"{entity_type} {entity_id!r} does not exist.")


class ValidationError(CQRSDDDError):
    """A message was refused before its handler ran.

    Attributes:
        errors: messages by field; the key ``""`` holds what concerns the message as a whole.
    """

    def __init__(self, message_type: str, errors: Mapping[str, Sequence[str]]) -> None:
        self.message_type = message_type
        self.errors = {field: list(messages) for field, messages in errors.items()}
        details = "; ".join(
            f"{field or message_type}: {', '.join(messages)}"
            for field, messages in self.errors.items()
        )
        super().__init__(f"{message_type} is not valid: {details}")


class ConcurrencyError(CQRSDDDError):
    """Somebody else changed the stream or aggregate first.

    Attributes:
        target: what was to be changed, such as ``Order 'o-1'``.
        expected: the version the change was made on.
        actual: the version found in the store, or None where it is unknown or gone.
    """

    def __init__(self, target: str, *, expected: int | None, actual: int | None) -> None:
        self.target, self.expected, self.actual = target, expected, actual
        found = "has been changed or deleted" if actual is None else f"is at version {actual}"
        made_on = (
            "expected not to exist" if expected in (None, 0) else f"made on version {expected}"
        )
        super().__init__(
            f"{target} {found}, but the change was {made_on}. "
            "Load it again and repeat the change; RetryMiddleware does that for you."
        )


class ConfigurationError(CQRSDDDError):
    """What was wired together can never work; it has to be corrected, to repeat it is in vain."""


class InfrastructureError(CQRSDDDError):
    """A store, broker or lock server failed or was used wrongly."""


class PersistenceError(InfrastructureError):
    """A store could not do what it was asked."""
