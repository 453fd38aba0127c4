"""What can be set about a relay."""

from dataclasses import dataclass, field

from cqrs_ddd_core.primitives.retry import RetryPolicy


def default_retries(max_retries: int = 5) -> RetryPolicy:
    """Return the policy for messages that fail: from half a second up to five minutes."""
    return RetryPolicy(max_attempts=max_retries + 1, base_delay=0.5, max_delay=300.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """How a relay works; durations in seconds.

    Attributes:
        batch_size: messages in one read, and in one call of the publisher.
        max_held: messages in memory at most: read, and not yet settled.
        max_calls: calls of the publisher at the same time.
        slow_after: a call that lasts longer no longer counts as one of ``max_calls``, and its
            keys are published one by one until they are fast again, so that they hold up no other.
        poll_interval: between two reads when nothing comes; it grows up to this from
            ``shortest_poll``.
        shortest_poll: the same, right after something came.
        lease: how long the relay's slots outlive it.
        retries: when a message that failed is tried again, and when it is given up.
        redrive_poll: how often dead letters are looked after, while there are any.
        longest_outage_pause: between two tries when the broker is away.
        drain_timeout: how long a relay that stops waits for what is being published.
    """

    batch_size: int = 500
    max_held: int = 2000
    max_calls: int = 4
    slow_after: float = 1.0
    poll_interval: float = 0.25
    shortest_poll: float = 0.005
    lease: float = 15.0
    retries: RetryPolicy = field(default_factory=default_retries)
    redrive_poll: float = 1.0
    longest_outage_pause: float = 5.0
    drain_timeout: float = 10.0
