"""SQS, through aiobotocore: FIFO groups, results checked entry by entry, visibility heartbeats."""

from cqrs_ddd_messaging.sqs.client import SQSConfig
from cqrs_ddd_messaging.sqs.consumer import SQSConsumer
from cqrs_ddd_messaging.sqs.publisher import SQSPublisher
from cqrs_ddd_messaging.sqs.queue import SQSQueue

__all__ = ["SQSConfig", "SQSConsumer", "SQSPublisher", "SQSQueue"]
