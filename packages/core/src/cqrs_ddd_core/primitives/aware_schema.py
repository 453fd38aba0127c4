"""Where a schema of pydantic's reads datetimes, and how it is made to read them as UTC."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic_core import core_schema

from cqrs_ddd_core.primitives.clock import as_utc

_NOT_READ = {"serialization", "metadata", "default", "config"}


def give_zones_in(node: Any) -> bool:
    """Change every plain datetime in a schema; return whether there was one.

    Other models stand in it by reference, and have their own way.
    """
    if not isinstance(node, dict):
        found = False
        for item in cast("list[Any]", node) if isinstance(node, list | tuple) else ():
            found = give_zones_in(item) or found
        return found
    schema = cast("dict[str, Any]", node)
    if schema.get("type") == "datetime":
        plain: Any = dict(schema)
        schema.clear()
        schema.update(core_schema.no_info_after_validator_function(as_utc, plain))
        return True
    if _gives_zone(schema):
        return False
    found = give_zones_in([value for key, value in schema.items() if key not in _NOT_READ])
    if found and schema.get("type") == "default" and schema.get("default", ...) is not None:
        schema["validate_default"] = True
    return found


def may_lack_zones(schema: Any) -> bool:
    """Whether what is read by this schema may hold a datetime without a zone."""
    if isinstance(schema, list | tuple):
        return any(map(may_lack_zones, cast("list[Any]", schema)))
    if not isinstance(schema, Mapping):
        return False
    node = cast("Mapping[str, Any]", schema)
    if node.get("type") == "datetime":
        return True
    if _gives_zone(node):
        return False
    return any(may_lack_zones(value) for key, value in node.items() if key not in _NOT_READ)


def _gives_zone(node: Mapping[str, Any]) -> bool:
    """Whether this part of a schema gives its datetime a zone already."""
    return node.get("type") == "function-after" and node["function"]["function"] is as_utc
