"""How a question to a repository goes wrong."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from cqrs_ddd_core.primitives.errors import CQRSDDDError


class QueryError(CQRSDDDError):
    """A question that has no answer as it is asked."""

    def to_dict(self) -> dict[str, Any]:
        """Return the error as data, for an API's response."""
        details = {key: value for key, value in vars(self).items() if not key.startswith("_")}
        return {"error": type(self).__name__, "message": str(self), **details}


class QueryOptionsError(QueryError):
    """Options that contradict each other or make no sense."""


class FieldNotFoundError(QueryError):
    """What is searched has no such field."""

    def __init__(self, field: str, known: Iterable[str]) -> None:
        self.field = field
        self.suggestions = get_close_matches(field, list(known), n=3)
        hint = (
            f" Did you mean {' or '.join(map(repr, self.suggestions))}?" if self.suggestions else ""
        )
        super().__init__(f"There is no field {field!r}.{hint}")


class InvalidCursorError(QueryError):
    """A cursor that was not made by this query."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"This cursor cannot be used here: {reason}. Use the one that next_cursor() gave for "
            "the same ordering, or start again without one."
        )
