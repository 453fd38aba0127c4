"""What can be known to be wrong with a handler before the first message comes."""

import inspect
from collections.abc import Iterable
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from cqrs_ddd_core.domain.event import event_type_of

if TYPE_CHECKING:
    from cqrs_ddd_core.cqrs.registry import Registration


def name_of(handler: Any) -> str:
    """Return how a handler is called in errors and logs."""
    return getattr(handler, "__qualname__", None) or type(handler).__qualname__


def callable_of(handler: Any) -> Any:
    """Return the function behind a handler: its ``handle``, or itself; None where there is none."""
    handle = getattr(handler, "handle", None)
    if callable(handle):
        return handle
    return handler if callable(handler) and not inspect.isclass(handler) else None


def positional_parameters(handler: Any) -> list[inspect.Parameter]:
    """Return the positional parameters a handler takes, ``self`` left out."""
    function = callable_of(handler)
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in positional
    ]
    return parameters[1:] if inspect.isclass(handler) else parameters


def wants_unit_of_work(handler: Any) -> bool:
    """Whether a handler takes the unit of work as its second argument."""
    return len([p for p in positional_parameters(handler) if p.default is p.empty]) > 1


def check_signature(message_type: type, registration: "Registration", kind: str) -> list[str]:
    """Return what is wrong with a handler for this message type."""
    handler, name = registration.handler, registration.name
    function = callable_of(handler)
    if function is None:
        return [
            f"{name} cannot handle {message_type.__qualname__}: it is neither a function nor has "
            "it a method handle(message)."
        ]
    parameters = positional_parameters(handler)
    required = [parameter for parameter in parameters if parameter.default is parameter.empty]
    if not parameters or len(required) > 2:  # noqa: PLR2004 - the message and the unit of work
        return [
            f"{name} must take the {kind}, and if it likes the unit of work after it; it takes "
            f"{len(required)} arguments."
        ]
    annotation = _annotation(function, parameters[0].name)
    if _accepts(annotation, message_type):
        return []
    return [
        f"{name} is registered for {message_type.__qualname__} but takes "
        f"{getattr(annotation, '__qualname__', annotation)}. Register it for the type it takes, "
        "or correct the annotation."
    ]


def check_events(event_types: Iterable[type]) -> list[str]:
    """Return which event types share one stored name."""
    by_name: dict[str, type] = {}
    problems: list[str] = []
    for event_type in event_types:
        name = event_type_of(event_type)
        holder = by_name.setdefault(name, event_type)
        if holder is not event_type:
            problems.append(
                f"{holder.__module__}.{holder.__qualname__} and {event_type.__module__}."
                f"{event_type.__qualname__} are both stored as {name!r}; give one of them another "
                "event_type."
            )
    return problems


def _annotation(function: Any, parameter: str) -> Any:
    try:
        return get_type_hints(function).get(parameter, Any)
    except (NameError, TypeError):  # names that exist for type checkers only
        return Any


def _accepts(annotation: Any, message_type: type) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return any(_accepts(option, message_type) for option in get_args(annotation))
    annotation = get_origin(annotation) or annotation
    return not inspect.isclass(annotation) or issubclass(message_type, annotation)
