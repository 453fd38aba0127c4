"""How a history in old schemas goes wrong."""

from collections.abc import Sequence

from cqrs_ddd_core import CQRSDDDError, StoredEvent


class UpcasterChainError(CQRSDDDError):
    """Upcasters do not lead from every old schema to today's; found when the application starts.

    Attributes:
        problems: one sentence each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("The upcasters cannot work: " + " ".join(self.problems))


class UpcastError(CQRSDDDError):
    """A stored event could not be brought to the schema of today.

    Attributes:
        stream: whose event it is.
        version: its place in the stream.
        event_type: its stored name.
        schema_version: the version of the schema at which it stopped.
    """

    def __init__(self, event: StoredEvent, event_type: str, schema: int, reason: str) -> None:
        self.stream, self.version = event.stream, event.version
        self.event_type, self.schema_version = event_type, schema
        super().__init__(
            f"Event {event.version} of {event.stream}, a {event_type!r} of schema version "
            f"{schema}, could not be upcast: {reason}. Correct the upcaster and read again; the "
            "event is kept as it is."
        )
