"""How RabbitMQ's messages carry envelopes, and how they are copied to other queues."""

from collections.abc import Mapping
from typing import Any

from aio_pika import DeliveryMode, Message
from aiormq.abc import DeliveredMessage

from cqrs_ddd_messaging.envelope import from_headers

PREFIX = "cloudEvents_"
_NO_HEADERS: Mapping[str, Any] = {}


def amqp_message(body: bytes, headers: Any, **properties: Any) -> Message:
    """Return a message that survives a restart of the broker."""
    return Message(body, headers=headers, delivery_mode=DeliveryMode.PERSISTENT, **properties)


def headers_of(message: DeliveredMessage) -> Mapping[str, Any]:
    """Return the headers of a message that came from the broker."""
    return message.header.properties.headers or _NO_HEADERS


def attributes_in(message: DeliveredMessage) -> dict[str, str]:
    """Return the attributes of the envelope; the broker's own properties where it has none."""
    properties = message.header.properties
    fallback = {"id": properties.message_id or "", "type": properties.message_type or ""}
    attributes = {**fallback, **from_headers(headers_of(message).items())}
    if properties.content_type is not None:
        attributes.setdefault("datacontenttype", properties.content_type)
    return attributes


def copy_of(message: DeliveredMessage, headers: Mapping[str, Any]) -> Message:
    """Return a message as it came, with other headers."""
    properties = message.header.properties
    return amqp_message(
        bytes(message.body),
        {name: value for name, value in headers.items() if name != "x-delivery-count"},
        message_id=properties.message_id,
        content_type=properties.content_type,
        type=properties.message_type,
        correlation_id=properties.correlation_id,
    )
