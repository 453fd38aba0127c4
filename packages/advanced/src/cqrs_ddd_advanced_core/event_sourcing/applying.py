"""Applies an event to an aggregate by the aggregate's own method."""

import inspect
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, cast, get_type_hints

from cqrs_ddd_advanced_core.event_sourcing.errors import (
    EventSourcingError,
    MissingEventHandlerError,
)

_PREFIX = "apply_"


def apply_event(aggregate: Any, event: Any) -> None:
    """Have ``aggregate`` take ``event`` in.

    The method is ``apply_OrderPlaced`` or ``apply_order_placed``, of the event's class or a base of
    it, else ``apply_event``.

    Raises:
        MissingEventHandlerError: there is none.

    Example:
        >>> class Placed: ...
        >>> class Order:
        ...     placed = False
        ...     def apply_Placed(self, event):
        ...         self.placed = True
        >>> order = Order()
        >>> apply_event(order, Placed())
        >>> order.placed
        True
    """
    _method(cast("type[Any]", type(aggregate)), cast("type[Any]", type(event)))(aggregate, event)


@lru_cache(maxsize=4096)
def _method(aggregate_type: type, event_type: type) -> Callable[[Any, Any], object]:
    for base in event_type.__mro__[:-1]:
        for name in (base.__name__, _snake_case(base.__name__)):
            found = getattr(aggregate_type, f"{_PREFIX}{name}", None)
            if found is not None:
                return found
    found = getattr(aggregate_type, "apply_event", None)
    if found is None:
        raise MissingEventHandlerError(aggregate_type, event_type)
    return found


def has_apply_methods(aggregate_type: type) -> bool:
    """Whether a class says what events do to it."""
    return any(name.startswith(_PREFIX) for name in dir(aggregate_type))


def applied_event_types(aggregate_type: type) -> Iterator[type]:
    """Yield the classes of the events that the ``apply_`` methods are annotated with.

    Raises:
        EventSourcingError: a method is annotated with no class.
    """
    for name, method in inspect.getmembers(aggregate_type, inspect.isfunction):
        if not name.startswith(_PREFIX) or name == "apply_event":
            continue
        parameters = list(inspect.signature(method).parameters)
        try:
            annotated = get_type_hints(method).get(parameters[1]) if len(parameters) > 1 else None
        except NameError:  # a class that is imported for type checkers alone, or is local
            annotated = None
        if not inspect.isclass(annotated):
            raise EventSourcingError(
                f"{aggregate_type.__name__}.{name} does not say which class its event has. "
                "Annotate it with a class of the module, (self, event: OrderPlaced), or give the "
                "repository an event_registry."
            )
        yield annotated


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
