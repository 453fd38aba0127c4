"""Which events a projection follows, and what it makes of them."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

from cqrs_ddd_core.domain import EventTypeRegistry
from cqrs_ddd_core.ports import StoredEvent
from cqrs_ddd_projections.errors import ProjectionRegistrationError
from cqrs_ddd_projections.policy import ErrorPolicy

Handle = Callable[[Any, Any], Any]
F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__projects__"
_LONGEST_NAME = 200


def on(*event_types: type) -> Callable[[F], F]:
    """Have a method of a ``ProjectionHandler`` handle events of these types."""

    def mark(method: F) -> F:
        setattr(method, _MARK, (*getattr(method, _MARK, ()), *event_types))
        return method

    return mark


class ProjectionHandler:
    """A projection: a name, and a function or method for each type of event.

    A handler takes the event and a ``ProjectionContext``; it may be async or plain. It changes
    nothing but what it reaches through the context, for it may run again.

    Args:
        name: names the checkpoint, for ever; where a subclass does not say it.
        revision: to be raised when the handlers or the tables change, so that a rebuild begins.
        partitions: how many workers can share it, at most. Events of one key are applied in order;
            with one partition, all events are.
        errors: what becomes of an event that cannot be applied.

    Example:
        >>> from cqrs_ddd_core import DomainEvent
        >>> from cqrs_ddd_projections import ProjectionContext
        >>> class OrderPlaced(DomainEvent):
        ...     customer: str
        >>> class OrdersOfCustomers(ProjectionHandler):
        ...     name = "orders-of-customers"
        ...
        ...     @on(OrderPlaced)
        ...     async def placed(self, event: OrderPlaced, at: ProjectionContext) -> None:
        ...         await at.write.add("customers", event.customer, {"orders": 1})
        >>> OrdersOfCustomers().handles(OrderPlaced)
        True
    """

    name: str = ""
    revision: int = 1
    partitions: int = 1
    errors: ErrorPolicy = ErrorPolicy()

    def __init__(
        self,
        name: str | None = None,
        *,
        revision: int | None = None,
        partitions: int | None = None,
        errors: ErrorPolicy | None = None,
    ) -> None:
        self.name = self.name if name is None else name
        self.revision = self.revision if revision is None else revision
        self.partitions = self.partitions if partitions is None else partitions
        self.errors = self.errors if errors is None else errors
        self._handlers: dict[type, list[Handle]] = {}
        for attribute, event_types in _marks_of(type(self)).items():
            for event_type in event_types:
                self.add_handler(event_type, getattr(self, attribute))

    def add_handler(self, event_type: type, handle: Handle) -> None:
        """Have ``handle`` called with each event of this type, and the context."""
        self._handlers.setdefault(event_type, []).append(handle)

    def handles(self, event_type: type) -> bool:
        """Whether events of this type are followed."""
        return event_type in self._handlers

    def key_of(self, stored: StoredEvent) -> str:
        """Return the key whose events are applied in order; by default the stream."""
        return str(stored.stream)

    def compiled(self, event_types: EventTypeRegistry) -> dict[str, Handle]:
        """Return the handlers by the names of their events, which are registered where missing.

        Raises:
            ProjectionRegistrationError: it cannot work; with everything that is wrong.
        """
        if problems := self.problems():
            raise ProjectionRegistrationError(problems)
        compiled: dict[str, Handle] = {}
        for event_type, (handle,) in self._handlers.items():
            name = event_types.name_of(event_type)
            event_types.register(name, event_type)
            compiled[name] = handle
        return compiled

    def problems(self) -> list[str]:
        """Return what is wrong with it, each with what to do."""
        who = f"Projection {self.name!r}" if self.name else type(self).__name__
        problems: list[str] = []
        if not self.name.strip() or len(self.name) > _LONGEST_NAME:
            problems.append(f"{who} needs a name of 1 to {_LONGEST_NAME} characters.")
        if not self._handlers:
            problems.append(f"{who} handles nothing; mark methods with @on(EventType).")
        if self.partitions < 1 or self.revision < 1:
            problems.append(f"{who} needs at least one partition, and a revision from 1 on.")
        for event_type, handlers in self._handlers.items():
            if len(handlers) > 1:
                problems.append(
                    f"{who} handles {event_type.__name__} {len(handlers)} times; do all of it in "
                    "one handler, so that its order is plain."
                )
            problems += [
                f"{who}: {problem}"
                for handle in handlers
                for problem in _problems_of(handle, event_type)
            ]
        return problems


def _marks_of(handler_type: type) -> dict[str, tuple[type, ...]]:
    """Return the events of each marked method; one that replaces another inherits its mark."""
    marks: dict[str, tuple[type, ...]] = {}
    for owner in handler_type.__mro__:
        for name, method in vars(owner).items():
            if name not in marks and hasattr(method, _MARK):
                marks[name] = getattr(method, _MARK)
    return marks


def _problems_of(handle: Handle, event_type: type) -> list[str]:
    """Return what is wrong with one handler."""
    name = getattr(handle, "__qualname__", repr(handle))
    try:
        signature = inspect.signature(handle)
        signature.bind(None, None)
    except TypeError:
        return [f"{name} must take two arguments, the event and the context."]
    except ValueError:  # a built-in without a signature
        return []
    first = next(iter(signature.parameters.values()))
    try:
        wanted = get_type_hints(handle).get(first.name, Any)
    except (NameError, TypeError):
        return []  # an annotation for type checkers alone
    if wanted is Any or not isinstance(wanted, type):  # Any is a class too, since Python 3.11
        return []
    if not issubclass(event_type, wanted):
        problem = f"{name} takes {wanted.__name__}, but is registered for {event_type.__name__}"
        return [f"{problem}; one of the two is a slip."]
    return []
