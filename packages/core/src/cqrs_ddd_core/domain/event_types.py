"""Which class stands behind the name of a stored event."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter
from pydantic import ValidationError as PydanticValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import from_json

from cqrs_ddd_core.domain.event import event_type_of
from cqrs_ddd_core.primitives.aware_schema import may_lack_zones
from cqrs_ddd_core.primitives.errors import CQRSDDDError
from cqrs_ddd_core.primitives.instants import with_zones


class EventTypeError(CQRSDDDError):
    """A name and a class of events do not go together."""


class UnknownEventTypeError(EventTypeError):
    """A stored event carries a name that no class is registered under."""

    def __init__(self, event_type: str, known: list[str]) -> None:
        self.event_type = event_type
        close = get_close_matches(event_type, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(
            f"No event class is registered under {event_type!r}.{hint} "
            "Register it with EventTypeRegistry.register(name, cls)."
        )


class EventPayloadError(EventTypeError):
    """A stored payload does not fit the class registered for its name.

    Attributes:
        event_type: the stored name.
        problems: what does not fit, by field.
    """

    def __init__(self, event_type: str, event_class: type, problems: dict[str, str]) -> None:
        self.event_type, self.event_class, self.problems = event_type, event_class, problems
        details = "; ".join(f"{field}: {message}" for field, message in problems.items())
        super().__init__(
            f"A stored {event_type!r} does not fit {event_class.__name__}: {details}. "
            "Change the payload with an upcaster, or give new fields a default."
        )


class EventTypeRegistry:
    """Names of event types, each for one class and each class under one name.

    Example:
        >>> from cqrs_ddd_core.domain import DomainEvent
        >>> class Shipped(DomainEvent):
        ...     carrier: str
        >>> types = EventTypeRegistry()
        >>> types.register("shop.shipped", Shipped)
        >>> types.hydrate("shop.shipped", {"carrier": "ACME"}).carrier
        'ACME'
    """

    def __init__(self) -> None:
        self._classes: dict[str, type] = {}
        self._names: dict[type, str] = {}
        self._validators: dict[type, Any] = {}
        self._lacking_zones: set[type] = set()

    def register(self, name: str, event_class: type) -> None:
        """Read and write ``event_class`` under ``name``; doing so twice is no harm.

        Raises:
            EventTypeError: the name has another class, or the class another name.
        """
        holder = self._classes.get(name, event_class)
        if holder is not event_class:
            raise EventTypeError(
                f"{name!r} names {holder.__qualname__} already; choose another name for "
                f"{event_class.__qualname__}."
            )
        known = self._names.get(event_class, name)
        if known != name:
            raise EventTypeError(
                f"{event_class.__qualname__} is stored as {known!r} already; a second name, "
                f"{name!r}, would split its history. Use an upcaster to rename."
            )
        self._classes[name], self._names[event_class] = event_class, name

    def add(self, *event_classes: type) -> None:
        """Register classes under the names they give themselves."""
        for event_class in event_classes:
            self.register(event_type_of(event_class), event_class)

    def name_of(self, event_class: type) -> str:
        """Return the name of ``event_class``: as registered, else as it names itself."""
        return self._names.get(event_class) or event_type_of(event_class)

    def get(self, name: str) -> type | None:
        """Return the class registered under ``name``, if any."""
        return self._classes.get(name)

    def has(self, name: str) -> bool:
        """Whether a class is registered under ``name``."""
        return name in self._classes

    def hydrate(self, name: str, payload: Mapping[str, Any] | bytes | str) -> Any:
        """Make the event that ``payload`` describes, from a mapping or from JSON.

        Raises:
            UnknownEventTypeError: no class has this name.
            EventPayloadError: the payload does not fit the class; never a silent None.
        """
        event_class = self._classes.get(name)
        if event_class is None:
            raise UnknownEventTypeError(name, self.list_registered())
        try:
            validator = self._validators.get(event_class) or self._validator(event_class)
            if isinstance(payload, bytes | str):
                event = validator.validate_json(payload, by_alias=True, by_name=True)
            else:
                event = validator.validate_python(payload, by_alias=True, by_name=True)
        except PydanticValidationError as error:
            problems = {
                ".".join(map(str, problem["loc"])) or "payload": problem["msg"]
                for problem in error.errors()
            }
            raise EventPayloadError(name, event_class, problems) from error
        except (ValueError, KeyError, TypeError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise EventPayloadError(name, event_class, {"payload": problem}) from error
        return with_zones(event) if event_class in self._lacking_zones else event

    def _validator(self, event_class: type) -> Any:
        """Return what makes events of a class; decided once, for a replay asks for each event."""
        if hasattr(event_class, "from_dict"):
            validator: Any = _OwnWords(event_class)
        else:
            try:
                adapter: TypeAdapter[Any] = TypeAdapter(event_class)
            except PydanticSchemaGenerationError as error:
                raise EventTypeError(
                    f"{event_class.__qualname__} is neither a pydantic model nor a dataclass; give "
                    "it a class method from_dict(data)."
                ) from error
            if may_lack_zones(adapter.core_schema):
                self._lacking_zones.add(event_class)
            validator = adapter.validator
        self._validators[event_class] = validator
        return validator

    def list_registered(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._classes)

    def clear(self) -> None:
        """Forget every registration."""
        for table in (self._classes, self._names, self._validators):
            table.clear()


class _OwnWords:
    """Makes events of a class that reads data in its own way; asked as a validator is."""

    def __init__(self, event_class: Any) -> None:
        self._from_dict = event_class.from_dict

    def validate_json(self, payload: bytes | str, **_: bool) -> Any:
        return self._from_dict(from_json(payload))

    def validate_python(self, payload: Mapping[str, Any], **_: bool) -> Any:
        return self._from_dict(payload)
