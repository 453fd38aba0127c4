"""Clients of Kafka, and how its records carry envelopes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from cqrs_ddd_core import BrokerUnavailableError
from cqrs_ddd_messaging.envelope import MessageEnvelope, from_headers

aiokafka: Any = import_module("aiokafka")  # it brings no types
_errors: Any = import_module("aiokafka.errors")
KafkaError: type[Exception] = _errors.KafkaError
PREFIX = "ce_"


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig:
    """Where Kafka is.

    Attributes:
        bootstrap_servers: such as ``kafka-1:9092,kafka-2:9092``.
        options: whatever aiokafka's clients take, such as ``security_protocol``.
        producer_options: the same, for producers alone.
        consumer_options: the same, for consumers alone, such as ``group_instance_id``.
    """

    bootstrap_servers: str = "localhost:9092"
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    producer_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    consumer_options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def producer(self) -> Any:
        """Return a producer whose records are stored once and by all replicas in sync."""
        return aiokafka.AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers,
            **{**self.options, **self.producer_options, "acks": "all", "enable_idempotence": True},
        )

    def consumer(self, group: str) -> Any:
        """Return a member of a group that commits only when it is told to."""
        defaults = {"auto_offset_reset": "earliest", "max_poll_interval_ms": 900_000}
        return aiokafka.AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            group_id=group,
            **{**defaults, **self.options, **self.consumer_options, "enable_auto_commit": False},
        )

    def unavailable(self, error: object) -> BrokerUnavailableError:
        """Return the error that says Kafka cannot be used now."""
        return BrokerUnavailableError(self.bootstrap_servers, error)


Headers = Sequence[tuple[str, bytes]]


def record_headers(envelope: MessageEnvelope) -> list[tuple[str, bytes]]:
    """Return the headers of a record in CloudEvents' binary mode."""
    headers = [(f"{PREFIX}{name}", text.encode()) for name, text in envelope.attributes.items()]
    headers.append(("content-type", envelope.attributes.get("datacontenttype", "").encode()))
    return headers


def attributes_in(record: Any) -> dict[str, str]:
    """Return the attributes of the envelope in the headers of a record."""
    attributes = from_headers(record.headers)
    for name, value in record.headers:
        if name == "content-type":
            attributes.setdefault("datacontenttype", value.decode(errors="replace"))
    return attributes
