"""The envelope: CloudEvents 1.0 attributes around the bytes of a message."""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from json import dumps, loads
from typing import Any, cast

from cqrs_ddd_core import OutboxMessage, UnreadableMessageError
from cqrs_ddd_core.primitives.clock import as_utc

STRUCTURED = "application/cloudevents+json"
PREFIXES = ("ce_", "ce-", "cloudEvents_", "cloudEvents:")
_VERSIONED = re.compile(r"(?P<name>.+)\.v(?P<version>[1-9][0-9]{0,8})")
_TRACING = ("traceparent", "tracestate")


@dataclass(frozen=True, slots=True)
class MessageEnvelope:
    """A message as it travels.

    Attributes:
        attributes: the attributes of CloudEvents 1.0 and extensions, as text, by name.
        data: the payload, perhaps compressed; empty where ``dataref`` names it.
    """

    attributes: Mapping[str, str]
    data: bytes

    def headers(self, prefix: str) -> dict[str, str]:
        """Return the attributes as headers of CloudEvents' binary mode."""
        return {f"{prefix}{name}": value for name, value in self.attributes.items()}

    def to_json(self) -> str:
        """Return the whole envelope as text: CloudEvents' structured mode."""
        return dumps({**self.attributes, "data_base64": b64encode(self.data).decode()})


def from_headers(headers: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Return the attributes among ``headers``, whichever prefix their binding gives them."""
    return {
        name[3 if name[2] in "_-" else 12 :]: _text(value)
        for name, value in headers
        if name.startswith(PREFIXES)
    }


def from_json(text: str | bytes) -> MessageEnvelope:
    """Read an envelope in CloudEvents' structured mode.

    Raises:
        UnreadableMessageError: it is none.
    """
    try:
        content = loads(text)
        if not isinstance(content, dict):
            raise TypeError("it is not an object")  # noqa: TRY301 - told like all the others
        fields = cast("dict[str, Any]", content)
        encoded = fields.pop("data_base64", None)
        data = fields.pop("data", None)
        if encoded is not None:
            payload = b64decode(encoded, validate=True)
        else:
            payload = b"" if data is None else dumps(data).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise UnreadableMessageError("", f"it is no CloudEvent in JSON: {error}.") from error
    return MessageEnvelope({name: _text(value) for name, value in fields.items()}, payload)


def attributes_of(message: OutboxMessage, source: str) -> dict[str, str]:
    """Return the attributes of an envelope around ``message``."""
    attributes = {
        "specversion": "1.0",
        "id": message.message_id,
        "source": source,
        "type": f"{message.event_type}.v{message.schema_version}",
        "time": message.occurred_at.isoformat(),
        "datacontenttype": message.content_type,
    }
    if message.partition_key:
        attributes["subject"] = attributes["partitionkey"] = message.partition_key
    if message.aggregate_type is not None:
        attributes["aggregatetype"] = message.aggregate_type
    if message.correlation_id is not None:
        attributes["correlationid"] = message.correlation_id
    if message.causation_id is not None:
        attributes["causationid"] = message.causation_id
    if message.tenant_id is not None:
        attributes["tenantid"] = message.tenant_id
    if message.headers:
        others = dict(message.headers)
        attributes.update((name, others.pop(name)) for name in _TRACING if name in others)
        if others:
            attributes["headers"] = dumps(others)
    return attributes


def message_of(attributes: Mapping[str, str], payload: bytes) -> OutboxMessage:
    """Return the message that an envelope carries.

    Raises:
        UnreadableMessageError: an attribute is missing or makes no sense.
    """
    message_id = attributes.get("id", "")
    type_name = attributes.get("type", "")
    if not message_id or not type_name:
        raise UnreadableMessageError(message_id, "its envelope has no id or no type.")
    event_type, schema_version = type_and_version(type_name)
    try:
        return OutboxMessage(
            message_id=message_id,
            event_type=event_type,
            schema_version=schema_version,
            payload=payload,
            content_type=attributes.get("datacontenttype", "application/json"),
            occurred_at=_time(attributes.get("time")),
            partition_key=attributes.get("partitionkey", ""),
            aggregate_type=attributes.get("aggregatetype"),
            correlation_id=attributes.get("correlationid"),
            causation_id=attributes.get("causationid"),
            tenant_id=attributes.get("tenantid"),
            headers=_headers(attributes),
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise UnreadableMessageError(message_id, f"its envelope is wrong: {error}.") from error


def type_and_version(type_name: str) -> tuple[str, int]:
    """Return the name of an event and the version of its schema, from the attribute ``type``."""
    versioned = _VERSIONED.fullmatch(type_name)
    return (versioned["name"], int(versioned["version"])) if versioned else (type_name, 1)


_LONG_AGO = as_utc(datetime(1970, 1, 1))  # noqa: DTZ001 - CloudEvents may say no time


def _time(text: str | None) -> datetime:
    return _LONG_AGO if text is None else as_utc(datetime.fromisoformat(text))


def _headers(attributes: Mapping[str, str]) -> dict[str, str]:
    headers = {name: attributes[name] for name in _TRACING if name in attributes}
    if "headers" in attributes:
        others = loads(attributes["headers"])
        if not isinstance(others, dict):
            raise TypeError("the attribute 'headers' is not an object")
        headers.update((str(name), str(value)) for name, value in cast("Any", others).items())
    return headers


def _text(value: Any) -> str:
    if isinstance(value, bytes | bytearray):
        return value.decode(errors="replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
