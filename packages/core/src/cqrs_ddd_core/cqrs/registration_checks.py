"""What can be known to be wrong with a handler before the first message comes."""

import inspect
from collections.abc import Iterable
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from cqrs_ddd_core.domain.event import event_type_of

if TYPE_CHECKING:
    from cqrs_ddd_core.cqrs.registry import Registration

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_PARAMETERS = ("message", "unit of work")


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
    return [parameter for parameter in _parameters(handler) if parameter.kind in _POSITIONAL]


def _required_parameters(handler: Any) -> list[inspect.Parameter]:
    kinds = (*_POSITIONAL, _KEYWORD)
    return [p for p in _parameters(handler) if p.kind in kinds and p.default is p.empty]


def _parameters(handler: Any) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(callable_of(handler)).parameters.values())
    return parameters[1:] if inspect.isclass(handler) else parameters


def wants_unit_of_work(handler: Any) -> bool:
    """Whether a handler takes the unit of work as its second argument."""
    return len([p for p in positional_parameters(handler) if p.default is p.empty]) > 1


def check_signature(message_type: type, registration: "Registration", kind: str) -> list[str]:
    """Return what is wrong with a handler for this message type."""
    handler, name = registration.handler, registration.name
    if callable_of(handler) is None:
        problem = (
            f"{name} cannot handle {message_type.__qualname__}: it is neither a function nor has "
            "it a method handle(message)."
        )
        return [problem]
    checks = (
        _wrong_form(handler, name, kind),
        _wrong_parameters(handler, name, kind),
        _wrong_message(handler, name, message_type),
    )
    return [problem for problem in checks if problem is not None][:1]


def _wrong_form(handler: Any, name: str, kind: str) -> str | None:
    """Return what is wrong with yielding or not."""
    function = callable_of(handler)
    if kind == "stream" and inspect.iscoroutinefunction(function):
        return f"{name} must be an async generator: let it yield items instead of returning them."
    if kind != "stream" and inspect.isasyncgenfunction(function):
        return f"{name} yields; register it with registry.register_stream_handler(...)."
    return None


def _wrong_parameters(handler: Any, name: str, kind: str) -> str | None:
    required = _required_parameters(handler)
    by_keyword = any(parameter.kind is _KEYWORD for parameter in required)
    if positional_parameters(handler) and len(required) <= len(_PARAMETERS) and not by_keyword:
        return None
    names = ", ".join(parameter.name for parameter in required) or "nothing"
    return (
        f"{name} must take the {kind}, and if it likes the unit of work after it; it needs {names}."
    )


def _wrong_message(handler: Any, name: str, message_type: type) -> str | None:
    parameters = positional_parameters(handler)
    if not parameters:
        return None
    annotation = _annotation(callable_of(handler), parameters[0].name)
    if _accepts(annotation, message_type):
        return None
    return (
        f"{name} is registered for {message_type.__qualname__} but takes "
        f"{getattr(annotation, '__qualname__', annotation)}. Register it for the type it takes, or "
        "correct the annotation."
    )


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


def check_durable_names(handlers: Iterable["Registration"]) -> list[str]:
    """Return which DURABLE handlers share a name, by which the inbox would take them for one."""
    by_name: dict[str, Any] = {}
    return [
        f"Two DURABLE handlers are called {registration.name!r}, and the inbox would take one for "
        "the other; register them with register_event_handler(..., name='...')."
        for registration in handlers
        if by_name.setdefault(registration.name, registration.handler) is not registration.handler
    ]


def _annotation(function: Any, parameter: str) -> Any:
    try:
        return get_type_hints(function).get(parameter, Any)
    except (NameError, TypeError):  # names that exist for type checkers only
        return Any


def _accepts(annotation: Any, message_type: type) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return any(_accepts(option, message_type) for option in get_args(annotation))
    annotation = get_origin(annotation) or annotation
    if annotation is Any or not inspect.isclass(annotation):  # Any is a class since Python 3.11
        return True
    try:
        return issubclass(message_type, annotation)
    except TypeError:  # a protocol that is there for type checkers only
        return True
