"""How scheduled commands go wrong."""

from collections.abc import Iterable
from difflib import get_close_matches

from cqrs_ddd_core.primitives.errors import ConfigurationError, CQRSDDDError


class SchedulingError(CQRSDDDError):
    """A command cannot be scheduled as it was asked."""


class AmbiguousCommandNameError(ConfigurationError):
    """Two classes of commands have one name, so that a stored one cannot be told apart."""

    def __init__(self, name: str, classes: Iterable[type]) -> None:
        self.name, self.classes = name, list(classes)
        super().__init__(
            f"{' and '.join(each.__qualname__ for each in self.classes)} are both stored as "
            f"{name!r}; give one of them command_type: ClassVar[str] = 'another-name'."
        )


class UnknownCommandNameError(SchedulingError):
    """A stored command has a name that no registered class has."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        close = get_close_matches(name, list(known), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(
            f"No registered command is called {name!r}.{hint} A class keeps its stored name by "
            "command_type: ClassVar[str] = '...'."
        )
