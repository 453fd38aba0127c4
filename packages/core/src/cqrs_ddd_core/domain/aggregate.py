"""Aggregates: the consistency boundary that holds rules, pending events and a version."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict, PrivateAttr
from typing_extensions import TypeVar

from cqrs_ddd_core.domain.event import DomainEvent
from cqrs_ddd_core.primitives.aware_fields import AwareFields
from cqrs_ddd_core.primitives.message_context import current_context

ID = TypeVar("ID", bound=Hashable, default=str)


@runtime_checkable
class IAggregate(Protocol):
    """What a unit of work needs of an aggregate; ``AggregateRoot`` and the mixin provide it."""

    @property
    def id(self) -> Any:
        """Identity, unique among aggregates of its type."""
        ...

    @property
    def version(self) -> int:
        """Version in the store; 0 when it has never been saved."""
        ...

    @property
    def pending_events(self) -> tuple[Any, ...]:
        """Events recorded and not yet taken."""
        ...

    def clear_events(self) -> list[Any]:
        """Take the pending events."""
        ...


class AggregateRootMixin:
    """Pending events and a version for a plain class or dataclass of your own.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Basket(AggregateRootMixin):
        ...     id: str
        >>> basket = Basket("b-1")
        >>> basket.add_event("filled")
        >>> basket.clear_events(), basket.clear_events(), basket.version
        (['filled'], [], 0)
    """

    _pending_events: list[Any]
    _version: int

    @property
    def version(self) -> int:
        """Version in the store; 0 when it has never been saved."""
        return getattr(self, "_version", 0)

    @property
    def pending_events(self) -> tuple[Any, ...]:
        """Events recorded since the last ``clear_events``, oldest first."""
        return tuple(getattr(self, "_pending_events", ()))

    def add_event(self, event: Any) -> None:
        """Record that ``event`` happened to this aggregate.

        A ``DomainEvent`` without ``aggregate_id`` or ``aggregate_type`` gets this aggregate's.
        """
        if isinstance(event, DomainEvent):
            event = event.stamped(
                aggregate_id=str(getattr(self, "id", "")), aggregate_type=type(self).__name__
            )
        self.remember_event(event)

    def remember_event(self, event: Any) -> None:
        """Record an event as it is, also one of no aggregate."""
        try:
            self._pending_events.append(event)
        except AttributeError:
            self._pending_events = [event]
        context = current_context.get()
        if context is not None:
            context.event_recorded(self)

    def clear_events(self) -> list[Any]:
        """Return the pending events, oldest first, and forget them."""
        events: list[Any] | None = getattr(self, "_pending_events", None)
        if not events:
            return []
        taken = list(events)
        events.clear()  # in place: a store that keeps events watches the list
        return taken


class AggregateRoot(AwareFields, BaseModel, AggregateRootMixin, Generic[ID]):
    """An aggregate as a pydantic model: validated when made, mutable by its own methods.

    ``version`` is the version in the store: 0 until the first save. Pass ``_version`` to rebuild
    an aggregate that has been saved before.

    Example:
        >>> class Order(AggregateRoot[str]):
        ...     customer_id: str
        >>> Order(id="o-1", customer_id="c-1").version
        0
    """

    model_config = ConfigDict(validate_assignment=False)

    id: ID
    _pending_events: list[Any] = PrivateAttr(default_factory=list[Any])
    if TYPE_CHECKING:
        _version: int = 0  # makes it a keyword of the constructors that a type checker derives

        @classmethod
        def __aggregate_type__(cls) -> type[Self]: ...

        @classmethod
        def __id_type__(cls) -> type[ID]: ...
    else:
        _version: int = PrivateAttr(default=0)

    def __init__(self, /, *, _version: int = 0, **data: Any) -> None:
        super().__init__(**data)
        if _version:
            self._version = _version

    def clear_events(self) -> list[Any]:
        """Return the pending events, oldest first, and forget them."""
        # A unit of work asks all its aggregates: pydantic's own lookup of a private attribute,
        # which takes ten times as long, would be most of the work.
        private = self.__pydantic_private__
        return super().clear_events() if private and private["_pending_events"] else []

    @property
    def version(self) -> int:
        """Version in the store; 0 when it has never been saved."""
        private = self.__pydantic_private__  # where it is, without pydantic's search for it
        return private["_version"] if private is not None else 0


def restore_version(aggregate: Any, version: int) -> None:
    """Tell ``aggregate`` which version the store holds; for adapters that load and save."""
    private = getattr(aggregate, "__pydantic_private__", None)
    if private is not None and "_version" in private:
        private["_version"] = version  # where it is, without pydantic's search for it
    else:
        aggregate._version = version  # noqa: SLF001
