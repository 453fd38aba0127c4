"""Events: facts that happened, named in the past tense."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field

from cqrs_ddd_core.primitives.clock import as_utc, utc_now
from cqrs_ddd_core.primitives.frozen_model import FrozenModel
from cqrs_ddd_core.primitives.ids import new_id


def _text(value: object) -> object:
    return value if value is None or isinstance(value, str) else str(value)


class DomainEvent(FrozenModel):
    """A fact that happened to an aggregate; frozen, equal by value, hashed by ``event_id``.

    ``event_type`` is the name under which the event is stored and sent: the class name, unless the
    class says otherwise. It never changes once events are stored. ``version`` is the version of
    the payload's schema.

    Example:
        >>> class OrderPlaced(DomainEvent):
        ...     event_type = "shop.order-placed"
        ...     total: int
        >>> OrderPlaced(aggregate_id="o-1", total=3).total
        3
    """

    event_type: ClassVar[str] = "DomainEvent"

    event_id: str = Field(default_factory=new_id)
    occurred_at: Annotated[datetime, AfterValidator(as_utc)] = Field(default_factory=utc_now)
    version: int = 1
    aggregate_id: Annotated[str | None, BeforeValidator(_text)] = None
    aggregate_type: str | None = None
    metadata: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    correlation_id: str | None = None
    causation_id: str | None = None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Name the event after its class where it names itself nothing."""
        super().__pydantic_init_subclass__(**kwargs)
        if "event_type" not in cls.__dict__:
            cls.event_type = cls.__name__

    def __hash__(self) -> int:
        return hash(self.event_id)

    def stamped(self, **defaults: str | None) -> Self:
        """Return the event with ``defaults`` for those fields that are still None."""
        missing = {
            field: value
            for field, value in defaults.items()
            if value is not None and getattr(self, field) is None
        }
        return self.model_copy(update=missing) if missing else self


def enrich_event_metadata(
    event: Any, *, correlation_id: str | None = None, causation_id: str | None = None
) -> Any:
    """Return ``event`` with these ids where it has none; ids it carries already are kept.

    Dataclasses with fields of these names are enriched as well; other classes are returned as
    they are, and their ids travel in the envelope alone.
    """
    if isinstance(event, DomainEvent):
        return event.stamped(correlation_id=correlation_id, causation_id=causation_id)
    fields = dataclass_fields(event)
    if not fields:
        return event
    ids = {"correlation_id": correlation_id, "causation_id": causation_id}
    missing = {
        name: value
        for name, value in ids.items()
        if name in fields and value is not None and getattr(event, name) is None
    }
    return replace(event, **missing) if missing else event


def dataclass_fields(message: Any) -> Mapping[str, Any]:
    """Return the fields of a dataclass, or of an instance of one; none for any other class."""
    return getattr(message, "__dataclass_fields__", {})


def event_type_of(event_class: type) -> str:
    """Return the name under which events of this class are stored and sent."""
    return getattr(event_class, "event_type", event_class.__name__)


def schema_version_of(event_class: type) -> int:
    """Return the payload schema's version that this class writes: 1 unless it says otherwise."""
    fields: Mapping[str, Any] = getattr(event_class, "model_fields", {})
    field = fields.get("version") or dataclass_fields(event_class).get("version")
    return field.default if field is not None and isinstance(field.default, int) else 1
