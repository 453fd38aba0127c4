"""Kafka, through aiokafka: idempotent publishing, and offsets that never pass a failure."""

from cqrs_ddd_messaging.kafka.client import KafkaConfig
from cqrs_ddd_messaging.kafka.consumer import KafkaConsumer
from cqrs_ddd_messaging.kafka.publisher import KafkaPublisher

__all__ = ["KafkaConfig", "KafkaConsumer", "KafkaPublisher"]
