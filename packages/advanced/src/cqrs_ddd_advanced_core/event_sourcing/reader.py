"""Stored events as objects of today's classes."""

from typing import Any

from cqrs_ddd_advanced_core.event_sourcing.errors import EventUnreadableError
from cqrs_ddd_core import EventTypeError, EventTypeRegistry, IUpcaster, StoredEvent


class EventReader:
    """Turns stored events into objects: upcast, then decoded; an unreadable one is an error.

    Args:
        event_types: the classes by their stored names.
        upcaster_registry: brings old payloads to the schema of today; not needed where the event
            store has it, and no harm.
    """

    def __init__(
        self, event_types: EventTypeRegistry, upcaster_registry: IUpcaster | None = None
    ) -> None:
        self._types, self._upcasters = event_types, upcaster_registry

    def read(self, event: StoredEvent) -> Any:
        """Return the event as an object.

        Raises:
            EventUnreadableError: no class has its name, or the payload does not fit the class.
            UpcastError: an upcaster failed.
        """
        if self._upcasters is not None:
            event = self._upcasters.upcast_stored(event)
        try:
            return self._types.hydrate(event.event_type, event.payload)
        except EventTypeError as error:
            raise EventUnreadableError(event, str(error)) from error
