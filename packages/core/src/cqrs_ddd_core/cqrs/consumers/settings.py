"""How a consumer works: how much at once, how often again, how long at the end."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cqrs_ddd_core.primitives.retry import RetryPolicy


def is_transient(error: Exception) -> bool:
    """Whether an error says nothing of the message: a connection was refused or lost."""
    return isinstance(error, ConnectionError) or bool(
        getattr(error, "connection_invalidated", False)  # SQLAlchemy's word for a lost connection
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """How a consumer works.

    Attributes:
        concurrency: how many units of work are open at once, at most.
        batch_size: how many messages share one unit of work, at most; where one of them fails,
            each is repeated in one of its own.
        capacity: how many messages are held and not settled, at most; the broker keeps the rest.
        retry_policy: attempts and delays before a message becomes a dead letter.
        is_transient: which errors do not count as attempts, because they say nothing of the
            message. It is tried again until it goes through.
        max_redeliveries: a message that was handed over so often and never settled is taken for
            one that kills its consumers, and parked.
        drain_timeout: seconds that handlers have to finish when the consumer stops.
        reconnect_policy: delays before another attempt to connect; attempts are not counted.
    """

    concurrency: int = 10
    batch_size: int = 50
    capacity: int = 1000
    retry_policy: RetryPolicy = field(
        default_factory=lambda: RetryPolicy(max_attempts=5, base_delay=1.0, max_delay=60.0)
    )
    is_transient: Callable[[Exception], bool] = is_transient
    max_redeliveries: int = 100
    drain_timeout: float = 30.0
    reconnect_policy: RetryPolicy = field(
        default_factory=lambda: RetryPolicy(base_delay=0.5, max_delay=30.0)
    )
