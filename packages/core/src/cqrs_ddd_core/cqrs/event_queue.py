"""The events of one unit of work, from the moment they are raised."""

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from cqrs_ddd_core.cqrs.errors import EventCascadeError
from cqrs_ddd_core.domain.event import enrich_event_metadata

_SHOWN = 6


class QueuedEvent(NamedTuple):
    """An event and the events it follows from."""

    event: Any
    causes: tuple[str, ...]


class EventQueue:
    """Takes each event once, in the order raised, and hands it out once.

    Attributes:
        raised: all events taken so far, enriched.
    """

    def __init__(self, max_depth: int) -> None:
        self.raised: list[Any] = []
        self._waiting: deque[QueuedEvent] = deque()
        self._seen: dict[Any, Any] = {}  # holds the event, so that no other gets its id()
        self._causes: tuple[str, ...] = ()
        self._max_depth = max_depth

    def take(
        self, events: Iterable[Any], correlation_id: str | None, causation_id: str | None
    ) -> list[Any]:
        """Queue those events not taken before and return them, enriched with the ids.

        Raises:
            EventCascadeError: events keep raising events.
        """
        taken: list[Any] = []
        for event in events:
            identity = event_id_of(event)
            if identity in self._seen:
                continue
            self._seen[identity] = event
            enriched = enrich_event_metadata(
                event, correlation_id=correlation_id, causation_id=causation_id
            )
            causes = (*self._causes, type(event).__name__)
            if len(causes) > self._max_depth:
                raise EventCascadeError(causes[-_SHOWN:], self._max_depth)
            self._waiting.append(QueuedEvent(enriched, causes))
            taken.append(enriched)
        self.raised += taken
        return taken

    def next(self) -> Any | None:
        """Return the next event to be handled; None when all have been."""
        if not self._waiting:
            self._causes = ()
            return None
        event, self._causes = self._waiting.popleft()
        return event

    def remember(self) -> "EventQueue":
        """Return a copy, for going back to when what follows is undone."""
        copy = EventQueue(self._max_depth)
        copy.raised, copy._waiting = list(self.raised), deque(self._waiting)
        copy._seen, copy._causes = dict(self._seen), self._causes
        return copy


def event_id_of(event: Any) -> Any:
    """Return what tells an event from every other one: its ``event_id``, else the object itself."""
    return getattr(event, "event_id", None) or id(event)
