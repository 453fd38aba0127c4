"""RabbitMQ, through aio-pika: confirms, quorum queues, delayed retries, dead letters."""

from cqrs_ddd_messaging.rabbitmq.connection import RabbitMQConnectionManager
from cqrs_ddd_messaging.rabbitmq.consumer import RabbitMQConsumer
from cqrs_ddd_messaging.rabbitmq.publisher import RabbitMQPublisher
from cqrs_ddd_messaging.rabbitmq.topology import RabbitMQQueue, RabbitMQTopologyError

__all__ = [
    "RabbitMQConnectionManager",
    "RabbitMQConsumer",
    "RabbitMQPublisher",
    "RabbitMQQueue",
    "RabbitMQTopologyError",
]
