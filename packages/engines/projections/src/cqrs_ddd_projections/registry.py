"""All projections of an application, checked together."""

from collections.abc import Iterator

from cqrs_ddd_core.domain import EventTypeRegistry
from cqrs_ddd_projections.errors import ProjectionRegistrationError
from cqrs_ddd_projections.handler import ProjectionHandler


class ProjectionRegistry:
    """Projections by their names.

    Args:
        event_types: names of events, where they are not the classes' own.
    """

    def __init__(self, event_types: EventTypeRegistry | None = None) -> None:
        self.event_types = event_types or EventTypeRegistry()
        self._handlers: list[ProjectionHandler] = []

    def register(self, handler: ProjectionHandler) -> None:
        """Add a projection."""
        self._handlers.append(handler)

    def __iter__(self) -> Iterator[ProjectionHandler]:
        return iter(self._handlers)

    def validate(self) -> None:
        """Refuse what can never work, all of it at once.

        Raises:
            ProjectionRegistrationError: two projections have one name, or one has mistakes.
        """
        problems = [problem for handler in self._handlers for problem in handler.problems()]
        names = [handler.name for handler in self._handlers]
        problems += [
            f"Two projections are called {name!r} and would share a checkpoint; rename one."
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
        if problems:
            raise ProjectionRegistrationError(problems)
