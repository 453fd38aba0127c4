"""Which command undoes an event, and which one brings it back."""

from collections.abc import Callable
from typing import Any, NamedTuple

MakeCommand = Callable[[Any], Any]


class Reversal(NamedTuple):
    """The commands for one type of event.

    Attributes:
        undo: makes the command that undoes an event.
        redo: makes the command that brings it back; None where that is not possible.
    """

    undo: MakeCommand
    redo: MakeCommand | None = None


class UndoRegistry:
    """Reversals by type of event.

    An event may bring its own: methods ``undo_command(self)`` and, if it likes,
    ``redo_command(self)``. What is registered goes first.

    Example:
        >>> class OrderPlaced:
        ...     order_id = "o-1"
        >>> registry = UndoRegistry()
        >>> registry.register(OrderPlaced, undo=lambda event: f"cancel {event.order_id}")
        >>> registry.reversal_of(OrderPlaced()).undo(OrderPlaced())
        'cancel o-1'
    """

    def __init__(self) -> None:
        self._reversals: dict[type, Reversal] = {}

    def register(
        self, event_type: type, *, undo: MakeCommand, redo: MakeCommand | None = None
    ) -> None:
        """Undo events of this type by what ``undo`` makes of them, redo by what ``redo`` does."""
        self._reversals[event_type] = Reversal(undo, redo)

    def reversal_of(self, event: Any) -> Reversal | None:
        """Return how an event is undone; None where it is not."""
        for base in type(event).__mro__:
            if base in self._reversals:
                return self._reversals[base]
        if not hasattr(event, "undo_command"):
            return None
        return Reversal(_undo_command, _redo_command if hasattr(event, "redo_command") else None)


def _undo_command(event: Any) -> Any:
    return event.undo_command()


def _redo_command(event: Any) -> Any:
    return event.redo_command()
