"""The conversation that goes on here; what is done below a handler can ask for it, or tell it."""

from contextvars import ContextVar


class MessageContext:
    """Which conversation goes on, and which message is handled in it.

    Attributes:
        correlation_id: joins all that follows from one request.
        message_id: the message being handled; the cause of whatever it sends or raises.
    """

    __slots__ = ("correlation_id", "message_id")

    def __init__(self, correlation_id: str | None, message_id: str | None = None) -> None:
        self.correlation_id = correlation_id
        self.message_id = message_id

    def event_recorded(self, aggregate: object) -> None:
        """Hear that an aggregate has an event to tell; without a unit of work nobody listens."""


current_context: ContextVar[MessageContext | None] = ContextVar("cqrs_ddd_context", default=None)
