"""What goes wrong between a message and its handler."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from cqrs_ddd_core.primitives.errors import ConfigurationError, CQRSDDDError


class HandlerError(CQRSDDDError):
    """A message and its handler do not come together."""


class HandlerNotFoundError(HandlerError):
    """A message was sent that nobody handles."""

    def __init__(self, message_type: type, kind: str, known: Iterable[type]) -> None:
        self.message_type, self.kind = message_type, kind
        names = {known_type.__name__: known_type for known_type in known}
        close = get_close_matches(message_type.__name__, names, n=1)
        hint = f" {close[0]} has one." if close and names[close[0]] is not message_type else ""
        super().__init__(
            f"No {kind} handler is registered for {message_type.__qualname__}.{hint} "
            f"Register it with registry.register_{kind}_handler({message_type.__name__}, ...)."
        )


class HandlerRegistrationError(HandlerError, ConfigurationError):
    """The registered handlers cannot work; says every mistake at once.

    Attributes:
        problems: one sentence a mistake, with its fix.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        listing = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{len(problems)} mistake(s) in the registered handlers:\n{listing}")


class EventCascadeError(HandlerError):
    """Events kept raising events: most likely two handlers answer each other for ever.

    Attributes:
        chain: the types of the last events, each raised while the one before was handled.
    """

    def __init__(self, chain: Sequence[str], limit: int) -> None:
        self.chain, self.limit = list(chain), limit
        super().__init__(
            f"Events raised events {limit} levels deep: ... {' -> '.join(chain)}. Break the "
            "cycle, or raise Mediator(max_event_depth=...) if so long a chain is meant."
        )


class EventHandlerFailure:
    """An AFTER_COMMIT handler that failed; its command has succeeded all the same.

    Attributes:
        event: the event that was handled.
        handler: the handler's name.
        error: what it raised.
    """

    __slots__ = ("error", "event", "handler")

    def __init__(self, event: object, handler: str, error: BaseException) -> None:
        self.event, self.handler, self.error = event, handler, error

    def __repr__(self) -> str:
        return f"<{self.handler} failed on {type(self.event).__name__}: {self.error!r}>"
