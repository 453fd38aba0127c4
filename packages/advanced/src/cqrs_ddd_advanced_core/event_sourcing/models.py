"""How aggregates of one kind come from events: by methods of a class, or by a decider."""

from typing import Any, Protocol

from pydantic import BaseModel, TypeAdapter

from cqrs_ddd_advanced_core.event_sourcing.applying import applied_event_types, apply_event
from cqrs_ddd_advanced_core.event_sourcing.decider import DecidedAggregate, Decider
from cqrs_ddd_advanced_core.event_sourcing.errors import IncompleteAggregateError
from cqrs_ddd_core import EventTypeRegistry, StreamId


class IModel(Protocol):
    """What the repository has to know of a kind of aggregate."""

    @property
    def name(self) -> str:
        """The aggregate's type, as streams carry it."""
        ...

    @property
    def aggregate_type(self) -> type:
        """The class of the objects."""
        ...

    @property
    def state_type(self) -> type:
        """The class of what a snapshot holds."""
        ...

    def event_types(self) -> EventTypeRegistry:
        """Return the events it is known to have."""
        ...

    def blank(self, aggregate_id: str) -> Any:
        """Return the aggregate before its first event."""
        ...

    def apply(self, aggregate: Any, event: Any) -> None:
        """Take ``event`` in."""
        ...

    def check(self, aggregate: Any, stream: StreamId, version: int) -> None:
        """Refuse an aggregate that lacks something after all its events."""
        ...

    def state_of(self, aggregate: Any) -> Any:
        """Return what a snapshot holds of it."""
        ...

    def from_state(self, aggregate_id: str, state: Any) -> Any:
        """Return the aggregate in this state."""
        ...


class ClassModel:
    """Aggregates of a class with ``apply_`` methods."""

    def __init__(self, aggregate_type: type) -> None:
        self.aggregate_type: type[Any] = aggregate_type
        self.state_type: type[Any] = aggregate_type
        self.name = aggregate_type.__name__
        fields = getattr(aggregate_type, "model_fields", {})
        self._id: TypeAdapter[Any] | None = (
            TypeAdapter(fields["id"].annotation) if "id" in fields else None
        )
        self._required = [name for name, field in fields.items() if field.is_required()]

    def event_types(self) -> EventTypeRegistry:
        """Return the events that its methods are annotated with."""
        types = EventTypeRegistry()
        types.add(*applied_event_types(self.aggregate_type))
        return types

    def blank(self, aggregate_id: str) -> Any:
        """Return an object with its id and defaults, whatever else it requires."""
        typed_id = self._id.validate_python(aggregate_id) if self._id else aggregate_id
        if issubclass(self.aggregate_type, BaseModel):
            return self.aggregate_type.model_construct(id=typed_id)
        aggregate: Any = object.__new__(self.aggregate_type)
        aggregate.id = typed_id
        return aggregate

    def apply(self, aggregate: Any, event: Any) -> None:
        """Take ``event`` in by the method for it."""
        apply_event(aggregate, event)

    def check(self, aggregate: Any, stream: StreamId, version: int) -> None:
        """Refuse an aggregate that lacks a required field."""
        missing = [name for name in self._required if name not in vars(aggregate)]
        if missing:
            raise IncompleteAggregateError(stream, version, missing)

    def state_of(self, aggregate: Any) -> Any:
        """Return the aggregate: its fields are the state."""
        return aggregate

    def from_state(self, aggregate_id: str, state: Any) -> Any:  # noqa: ARG002 - it has its id
        """Return the aggregate: it is the state."""
        return state


class DeciderModel:
    """Aggregates of a decider."""

    aggregate_type: type = DecidedAggregate

    def __init__(self, decider: Decider[Any, Any, Any]) -> None:
        self._decider = decider
        self.name, self.state_type = decider.name, decider.state_type

    def event_types(self) -> EventTypeRegistry:
        """Return the events that the decider names."""
        types = EventTypeRegistry()
        types.add(*self._decider.events)
        return types

    def blank(self, aggregate_id: str) -> Any:
        """Return the initial state under this id."""
        return self._decider.new(aggregate_id)

    def apply(self, aggregate: Any, event: Any) -> None:
        """Take ``event`` in by ``evolve``."""
        aggregate.take(event)

    def check(self, aggregate: Any, stream: StreamId, version: int) -> None:
        """Do nothing: a state is complete."""

    def state_of(self, aggregate: Any) -> Any:
        """Return the state."""
        return aggregate.state

    def from_state(self, aggregate_id: str, state: Any) -> Any:
        """Return the aggregate in this state."""
        aggregate = self._decider.new(aggregate_id)
        aggregate.state = state
        return aggregate


def model_of(aggregate_cls: Any) -> IModel:
    """Return the model of a class or decider."""
    if isinstance(aggregate_cls, Decider):
        return DeciderModel(aggregate_cls)  # pyright: ignore[reportUnknownArgumentType]
    return ClassModel(aggregate_cls)
