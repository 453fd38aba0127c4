"""One step from an old schema of an event to the next."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar


class EventUpcaster(ABC):
    """Turns payloads of one version of an event into the next version.

    Attributes:
        supported_type: the stored name of the events.
        from_version: the schema version it takes.
        to_version: the schema version it makes; the next one by default.
        new_type: the name of the events from then on, where they are renamed.

    Example:
        >>> class OrderPlacedV1ToV2(EventUpcaster):
        ...     supported_type = "OrderPlaced"
        ...     from_version = 1
        ...     to_version = 2
        ...     def upcast(self, payload):
        ...         return {**payload, "currency": "EUR"}
        >>> OrderPlacedV1ToV2().upcast({"total": 3})
        {'total': 3, 'currency': 'EUR'}
    """

    supported_type: ClassVar[str]
    from_version: ClassVar[int]
    to_version: ClassVar[int] = 0
    new_type: ClassVar[str | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "from_version" in vars(cls) and not vars(cls).get("to_version"):
            cls.to_version = cls.from_version + 1

    @abstractmethod
    def upcast(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the payload in the new schema; the one given may be changed."""
