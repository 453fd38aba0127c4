"""What a handler of a projection works with, beside the event."""

from collections.abc import Awaitable, Callable
from typing import Any

from cqrs_ddd_core.ports import IReadModelWriter, StoredEvent

Effect = Callable[[], Awaitable[object]]


class ProjectionContext:
    """Where a handler writes, and what is known of the event besides its content.

    Attributes:
        write: writes to the version of the read model that is being fed.
        uow: the unit of work, which commits together with the checkpoint.
        stored: the event as it was stored: stream, position, metadata.
        effects_on: whether side effects are wanted: not while history is replayed or a version is
            being built. Guard with it what goes through ``uow``, such as messages for the outbox.
    """

    __slots__ = ("_effects", "_effects_after", "effects_on", "stored", "uow", "write")

    stored: StoredEvent

    def __init__(self, write: IReadModelWriter, uow: Any, effects_after: int | None) -> None:
        self.write, self.uow, self._effects_after = write, uow, effects_after
        self.effects_on = False
        self._effects: list[Effect] = []

    def turn_to(self, stored: StoredEvent) -> None:
        """Speak of ``stored`` from now on; the engine does that."""
        self.stored = stored
        after = self._effects_after
        self.effects_on = after is not None and stored.position > after

    def after_commit(self, effect: Effect) -> None:
        """Call ``effect`` once the event's batch has committed, at most once; if effects are on.

        A worker that dies in between does not call it. What must happen goes through the outbox.
        """
        if self.effects_on:
            self._effects.append(effect)

    @property
    def effects(self) -> list[Effect]:
        """What is to be called after the commit."""
        return self._effects
