"""Why something cannot be undone."""

from collections.abc import Sequence

from cqrs_ddd_core.primitives.errors import CQRSDDDError, NotFoundError


class UndoError(CQRSDDDError):
    """Base of what stands against an undo."""


class UndoTokenNotFoundError(UndoError, NotFoundError):
    """There is no such token; expired ones are forgotten after a time."""

    def __init__(self, token_id: str) -> None:
        self.token_id = token_id
        super().__init__(f"There is no undo token {token_id!r}: it never was, or was purged.")


class UndoExpiredError(UndoError):
    """The time to undo it is over."""

    def __init__(self, token_id: str) -> None:
        self.token_id = token_id
        super().__init__(f"Undo token {token_id!r} has expired. Correct it with a command.")


class UndoStatusError(UndoError):
    """It is undone already, or was not undone, so there is nothing to redo."""

    def __init__(self, token_id: str, wanted: str, status: str) -> None:
        self.token_id, self.wanted, self.status = token_id, wanted, status
        super().__init__(f"Undo token {token_id!r} is {status} and cannot {wanted}.")


class UndoUnsafeError(UndoError):
    """Something has happened since that an undo would trample on.

    Attributes:
        token_id: the token.
        later_events: the types of the events that came after.
    """

    def __init__(self, token_id: str, later_events: Sequence[str]) -> None:
        self.token_id, self.later_events = token_id, list(later_events)
        super().__init__(
            f"Undo token {token_id!r} is no longer safe: since then {', '.join(later_events)} "
            "happened to the same aggregate. Undo that first, declare it harmless, or correct it "
            "with a command."
        )


class NotUndoableError(UndoError):
    """Events have no reverse command, or are not in the event store.

    Attributes:
        event_types: those events' types.
    """

    def __init__(self, event_types: Sequence[str], why: str) -> None:
        self.event_types = list(event_types)
        super().__init__(f"{', '.join(event_types) or 'No events at all'} cannot be undone: {why}")
