"""What an action led to, and what a test may say about it."""

from collections.abc import Sequence
from typing import Any, Self

from cqrs_ddd_core.testing.comparison import Difference, require_events, require_values

_ABSENT = "(no such attribute)"


class Outcome:
    """What came of an action: events, or an error.

    Attributes:
        events: what was raised, oldest first.
        error: what the action failed with; None where it succeeded.
    """

    def __init__(self, events: Sequence[Any], error: Exception | None) -> None:
        self.events, self.error = list(events), error

    def then(self, *expected: Any) -> Self:
        """Expect exactly these events, in this order, and no error.

        Events are compared by class and payload. Their ids, time, correlation and causation do
        not count; ``aggregate_id``, ``aggregate_type`` and the like count where you name them.

        Raises:
            AssertionError: shows the expected and the actual events side by side.
        """
        require_events(expected, self.events, self.error)
        return self

    def then_nothing(self) -> Self:
        """Expect neither an event nor an error.

        Raises:
            AssertionError: shows what there was.
        """
        return self.then()

    def then_raises(self, error_type: type[Exception], **attributes: Any) -> Self:
        """Expect an error of this class, with these attributes.

        Raises:
            AssertionError: shows the expected and the actual error side by side.
        """
        if self.error is None:
            events = ", ".join(type(event).__name__ for event in self.events) or "no event"
            raise Difference(
                f"{error_type.__name__} was expected, but the action succeeded and raised {events}."
            )
        if not isinstance(self.error, error_type):
            raise Difference(
                f"{error_type.__name__} was expected, but the action raised {self.error!r}."
            ) from self.error
        require_values(
            f"The {type(self.error).__name__}", attributes, attributes_of(self.error, attributes)
        )
        return self


def attributes_of(subject: Any, names: Any) -> dict[str, Any]:
    """Return the named attributes of ``subject``; a remark where it lacks one."""
    return {name: getattr(subject, name, _ABSENT) for name in names}
