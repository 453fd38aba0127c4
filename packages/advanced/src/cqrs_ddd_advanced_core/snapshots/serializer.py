"""The state of an aggregate as JSON, under the name of its form."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

Upcast = Callable[[dict[str, Any]], dict[str, Any]]


class JSONSnapshotSerializer:
    """Encodes states as JSON.

    The name of the form is a fingerprint of the state's fields: when they change, snapshots of the
    old form are discarded and the events are replayed. Where the fields stay and their meaning
    changes, give the class a ``snapshot_schema: ClassVar[str] = "2"`` and count it up by hand.

    Args:
        upcasters: for states too long to replay: what turns a payload of an old form, named by
            type and schema, into today's.
    """

    def __init__(self, upcasters: Mapping[tuple[str, str], Upcast] | None = None) -> None:
        self._upcasters = dict(upcasters or {})

    def schema_of(self, state_type: type) -> str:
        """Return the name of the form that states of this type have today."""
        return getattr(state_type, "snapshot_schema", None) or _fingerprint(state_type)

    def serialize(self, state: Any) -> bytes:
        """Return ``state`` as JSON."""
        return _adapter(cast("type[Any]", type(state))).dump_json(state, round_trip=True)

    def deserialize(self, state_type: type, payload: bytes, schema: str) -> Any | None:
        """Return the state, or None where its form is of the past and nothing upcasts it."""
        adapter = _adapter(state_type)
        if schema != self.schema_of(state_type):
            upcast = self._upcasters.get((state_type.__name__, schema))
            if upcast is None:
                return None
            payload = to_json(upcast(from_json(payload)))
        try:
            return adapter.validate_json(payload, by_alias=True, by_name=True)
        except ValidationError:
            return None


@lru_cache(maxsize=512)
def _adapter(state_type: type) -> TypeAdapter[Any]:
    return TypeAdapter(state_type)


@lru_cache(maxsize=512)
def _fingerprint(state_type: type) -> str:
    return sha256(to_json(_adapter(state_type).json_schema())).hexdigest()[:16]
