"""Compares what a test expected with what happened, and shows both side by side."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from pydantic import BaseModel

from cqrs_ddd_core.domain.event import DomainEvent, dataclass_fields

_IGNORED = frozenset({"event_id", "occurred_at", "correlation_id", "causation_id"})
_ENVELOPE = frozenset(DomainEvent.model_fields)


class Difference(AssertionError):  # noqa: N818 - what a test framework shows is its message
    """What happened is not what the test expected."""


def payload_of(event: Any) -> dict[str, Any]:
    """Return what an event tells, without the ids and the time that every event has."""
    return {name: value for name, value in _fields_of(event).items() if name not in _IGNORED}


def expected_payload_of(event: Any) -> dict[str, Any]:
    """Return what an expected event tells: of the envelope, only what the test wrote itself."""
    payload = payload_of(event)
    if not isinstance(event, DomainEvent):
        return payload
    return {
        name: value
        for name, value in payload.items()
        if name not in _ENVELOPE or (name in event.model_fields_set and value is not None)
    }


def require_events(expected: Sequence[Any], actual: Sequence[Any], error: object = None) -> None:
    """Refuse events other than the expected ones, in their order.

    Args:
        expected: compared by type and payload.
        actual: what was raised.
        error: what the action failed with, to be shown with the difference.

    Raises:
        Difference: shows both lists side by side.
    """
    wanted = [expected_payload_of(event) for event in expected]
    found = [_compared(event, want) for event, want in zip_longest(actual, wanted[: len(actual)])]
    same_types = [type(event) for event in expected] == [type(event) for event in actual]
    if error is None and same_types and wanted == found:
        return
    left = [_lines_of(event, want) for event, want in zip(expected, wanted, strict=True)]
    right = [_lines_of(event, payload) for event, payload in zip(actual, found, strict=True)]
    failed = "" if error is None else f" The action raised {error!r}."
    raise Difference(
        f"The events are not as expected.{failed}\n"
        + side_by_side(_padded(left, right), _padded(right, left))
    )


def require_values(what: str, expected: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
    """Refuse values other than the expected ones.

    Raises:
        Difference: shows both side by side.
    """
    if dict(expected) == dict(actual):
        return
    raise Difference(
        f"{what} is not as expected.\n" + side_by_side(_assignments(expected), _assignments(actual))
    )


def side_by_side(expected: Sequence[str], actual: Sequence[str]) -> str:
    """Return two columns of lines; a line that differs is marked.

    Example:
        >>> print(side_by_side(["total = 3"], ["total = 4"]))
             expected     actual
          !=  total = 3    total = 4
    """
    left, right = ([*lines] if any(lines) else ["(nothing)"] for lines in (expected, actual))
    rows = list(zip_longest(left, right, fillvalue=""))
    width = max(len("expected"), *map(len, left))
    lines = [f"     {'expected':<{width}}    actual"]
    for wanted, found in rows:
        mark = "  " if wanted == found else "!="
        lines.append(f"  {mark}  {wanted:<{width}}    {found}".rstrip())
    return "\n".join(lines)


def _fields_of(event: Any) -> dict[str, Any]:
    if isinstance(event, BaseModel):
        return {name: getattr(event, name) for name in type(event).model_fields}
    names = dataclass_fields(event) or getattr(event, "__dict__", None)
    return {"value": event} if names is None else {name: getattr(event, name) for name in names}


def _compared(event: Any, wanted: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the payload of a raised event as far as its expected counterpart speaks of it."""
    payload = payload_of(event)
    if not isinstance(event, DomainEvent):
        return payload
    named = wanted or ()
    return {
        name: value for name, value in payload.items() if name not in _ENVELOPE or name in named
    }


def _lines_of(event: Any, payload: Mapping[str, Any]) -> list[str]:
    return [type(event).__name__, *(f"  {line}" for line in _assignments(payload))]


def _assignments(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {value!r}" for name, value in values.items()]


def _padded(events: Sequence[list[str]], others: Sequence[list[str]]) -> list[str]:
    """Return the lines of all events, each event as long as its counterpart."""
    lines: list[str] = []
    for own, other in zip_longest(events, others, fillvalue=()):
        lines += [*own, *[""] * (len(other) - len(own))]
    return lines
