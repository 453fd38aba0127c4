"""An undo token: the right to undo once, and redo once after each undo, for a time."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class UndoStatus(StrEnum):
    """What can be done next."""

    DONE = "done"
    """It can be undone."""
    UNDONE = "undone"
    """It can be redone."""


@dataclass(frozen=True, slots=True)
class StoredCommand:
    """A command as it is stored."""

    command_type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoToken:
    """What is needed to undo and redo the events of one command.

    Attributes:
        token_id: what a user holds.
        aggregate_type: of the aggregate that they happened to.
        aggregate_id: which one.
        version: of its stream behind these events.
        event_ids: later events that the undo itself and its redo raised; they are no obstacle.
        undo: the commands that undo them.
        redo: the commands that bring them back; empty where that is not possible.
        expires_at: when the right ends.
        revision: how often the token has been used.
    """

    token_id: str
    aggregate_type: str
    aggregate_id: str
    version: int
    undo: tuple[StoredCommand, ...]
    redo: tuple[StoredCommand, ...]
    created_at: datetime
    expires_at: datetime
    event_ids: tuple[str, ...] = ()
    status: UndoStatus = UndoStatus.DONE
    revision: int = 0
