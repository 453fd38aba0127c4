"""How aggregates and their events fail to go together."""

from collections.abc import Sequence

from cqrs_ddd_core import CQRSDDDError, StoredEvent, StreamId


class EventSourcingError(CQRSDDDError):
    """An aggregate cannot be kept as events the way it is set up."""


class EventUnreadableError(EventSourcingError):
    """A stored event cannot be turned into an object of today's classes; nothing is skipped.

    Attributes:
        stream: whose event it is.
        version: its place in the stream.
        event_type: its stored name.
        schema_version: the version of its schema.
    """

    def __init__(self, event: StoredEvent, reason: str) -> None:
        self.stream, self.version = event.stream, event.version
        self.event_type, self.schema_version = event.event_type, event.schema_version
        super().__init__(
            f"Event {event.version} of {event.stream}, a {event.event_type!r} of schema version "
            f"{event.schema_version}, cannot be read: {reason}"
        )


class MissingEventHandlerError(EventSourcingError):
    """An aggregate has no method for an event of its own."""

    def __init__(self, aggregate_type: type, event_type: type) -> None:
        self.aggregate_type, self.event_type = aggregate_type, event_type
        super().__init__(
            f"{aggregate_type.__name__} does not say what {event_type.__name__} does to it; "
            f"give it def apply_{event_type.__name__}(self, event: {event_type.__name__}) -> None."
        )


class IncompleteAggregateError(EventSourcingError):
    """All events were applied, and the aggregate still lacks values it must have."""

    def __init__(self, stream: StreamId, version: int, missing: Sequence[str]) -> None:
        self.stream, self.version, self.missing = stream, version, list(missing)
        super().__init__(
            f"{stream} was rebuilt from {version} event(s) and has no {', '.join(missing)}; have "
            "an apply_ method set it, or give it a default."
        )


class StreamGapError(EventSourcingError):
    """A stream lacks an event, so what follows from it cannot be told; it may be in an archive.

    Attributes:
        stream: which stream.
        version: of the first event that is missing.
    """

    def __init__(self, stream: StreamId, version: int) -> None:
        self.stream, self.version = stream, version
        super().__init__(
            f"{stream} has no event {version}, but later ones. If it was archived, read it from "
            "the archive's store, or put its events back."
        )


class UnknownAggregateError(EventSourcingError):
    """Nobody knows which class stands behind a stream."""

    def __init__(self, aggregate_id: str, found: Sequence[str]) -> None:
        self.aggregate_id, self.found = aggregate_id, list(found)
        problem = "are streams of" if len(found) > 1 else "is not exactly one class for the type"
        super().__init__(
            f"There {problem} {', '.join(found)}, of the id {aggregate_id!r}. Say which with "
            "aggregate_cls=..., or name the classes once: aggregates=[Order, ...] of the mediator."
        )
