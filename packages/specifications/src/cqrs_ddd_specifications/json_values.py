"""How JSON values contain one another: the reference for every database."""

from collections.abc import Callable
from typing import Any, cast

from cqrs_ddd_specifications.operators import Operator


def json_contains(document: Any, part: Any) -> bool:
    """Whether ``document`` contains ``part``: objects by keys, lists by elements, in any order.

    The rules are those of PostgreSQL's ``@>``, save that a list does not contain a bare scalar.
    """
    if isinstance(document, dict) and isinstance(part, dict):
        own, wanted = cast("dict[str, Any]", document), cast("dict[str, Any]", part)
        return all(key in own and json_contains(own[key], wanted[key]) for key in wanted)
    if isinstance(document, list) and isinstance(part, list):
        items = cast("list[Any]", document)
        return all(
            any(json_contains(item, wanted) for item in items) for wanted in cast("list[Any]", part)
        )
    return same_json(document, part)


def same_json(first: Any, second: Any) -> bool:
    """Whether two values are equal as JSON: true is not 1, but 1 is 1.0."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, dict) and isinstance(second, dict):
        own, other = cast("dict[str, Any]", first), cast("dict[str, Any]", second)
        return own.keys() == other.keys() and all(same_json(own[key], other[key]) for key in own)
    if isinstance(first, list) and isinstance(second, list):
        items, others = cast("list[Any]", first), cast("list[Any]", second)
        return len(items) == len(others) and all(map(same_json, items, others))
    return cast("object", first) == cast("object", second)


def has_keys(document: Any, keys: list[str], *, every: bool) -> bool:
    """Whether an object has the keys, or a list the texts: every one of them or any."""
    if not isinstance(document, dict | list):
        return False
    members = cast("list[Any]", document)
    return (all if every else any)(key in members for key in keys)


def path_exists(document: Any, path: str) -> bool:
    """Whether ``$.a.b[0]`` leads somewhere, be it to null."""
    value = document
    for step in path_steps(path):
        if isinstance(value, dict) and step in value:
            value = cast("dict[str, Any]", value)[step]
        elif (
            isinstance(value, list) and step.isdigit() and int(step) < len(cast("list[Any]", value))
        ):
            value = cast("list[Any]", value)[int(step)]
        else:
            return False
    return True


def path_steps(path: str) -> list[str]:
    """Return the keys and places that a path goes through.

    Example:
        >>> path_steps("$.lines[0].sku")
        ['lines', '0', 'sku']
    """
    steps = path.removeprefix("$").replace("[", ".").replace("]", "").split(".")
    return [step for step in steps if step]


def overlaps(document: Any, values: list[Any]) -> bool:
    """Whether a list has any of ``values``."""
    items = cast("list[Any]", document) if isinstance(document, list) else []
    return any(same_json(item, value) for item in items for value in values)


def has_all(document: Any, values: list[Any]) -> bool:
    """Whether a list has all of ``values``."""
    return isinstance(document, list) and all(overlaps(document, [value]) for value in values)


JSON_TESTS: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.ALL: has_all,
    Operator.CONTAINS_ANY: overlaps,
    Operator.JSON_CONTAINS: json_contains,
    Operator.JSON_CONTAINED_BY: lambda value, operand: json_contains(operand, value),
    Operator.JSON_HAS_KEY: lambda value, key: has_keys(value, [key], every=True),
    Operator.JSON_HAS_ANY: lambda value, keys: has_keys(value, keys, every=False),
    Operator.JSON_HAS_ALL: lambda value, keys: has_keys(value, keys, every=True),
    Operator.JSON_PATH_EXISTS: path_exists,
}
"""What each operator asks of a document and its operand."""
