"""The queues that the toolkit declares, and how they belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelClosed, ChannelPreconditionFailed

from cqrs_ddd_core import InfrastructureError

RETRY_DELAYS = (0.1, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
"""Seconds that the retry queues keep a message; a queue each, so that no message waits for one
before it that waits longer."""


class RabbitMQTopologyError(InfrastructureError):
    """A queue or exchange is there already, and is another than what is declared.

    Attributes:
        queue: which one.
    """

    def __init__(self, queue: str, problem: object) -> None:
        self.queue = queue
        super().__init__(
            f"{queue!r} cannot be declared: {problem}. Delete the old one once it is empty, or "
            "choose another name."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitMQQueue:
    """A queue, what flows into it, and what happens to what cannot be handled.

    Declares the exchange (topic, durable), the queue (quorum), ``<name>.dead`` for dead letters,
    and, once one is needed, ``<name>.retry.<seconds>``.

    Attributes:
        name: of the queue.
        exchange: where messages are published.
        bindings: patterns of routing keys, which are the names of message types; all by default.
        ordered: hand messages to one consumer at a time, another takes over when it ends. Without
            it consumers compete, and the order of a key holds within each consumer alone.
        delivery_limit: how often RabbitMQ hands a message over before it moves it to the dead
            letters by itself: the last resort against one that kills its consumers. Every
            prefetched message counts when a consumer ends.
    """

    name: str
    exchange: str = "events"
    bindings: Sequence[str] = ("#",)
    ordered: bool = True
    delivery_limit: int = 1000

    @property
    def dead(self) -> str:
        """The queue of the dead letters."""
        return f"{self.name}.dead"

    def retry(self, delay: float) -> tuple[str, float]:
        """Return the retry queue for a delay in seconds, and how long it really keeps messages."""
        kept = next((each for each in RETRY_DELAYS if each >= delay), RETRY_DELAYS[-1])
        return f"{self.name}.retry.{kept:g}", kept

    async def declare(self, channel: AbstractChannel) -> None:
        """Declare exchange, queue, bindings and the queue of the dead letters.

        Raises:
            RabbitMQTopologyError: one is there already, and is another.
        """
        try:
            exchange = await channel.declare_exchange(self.exchange, "topic", durable=True)
            await channel.declare_queue(self.dead, durable=True, arguments=_KEEPS)
            queue = await channel.declare_queue(
                self.name,
                durable=True,
                arguments={
                    **_QUORUM,
                    **_to(self.dead),
                    "x-delivery-limit": self.delivery_limit,
                    "x-single-active-consumer": self.ordered,
                },
            )
            for pattern in self.bindings:
                await queue.bind(exchange, pattern)
        except (ChannelPreconditionFailed, ChannelClosed) as error:
            raise RabbitMQTopologyError(self.name, error) from error

    async def declare_retry(self, channel: AbstractChannel, name: str, delay: float) -> None:
        """Declare a queue whose messages go back to this one after ``delay`` seconds."""
        arguments = {**_QUORUM, **_to(self.name), "x-message-ttl": int(delay * 1000)}
        await channel.declare_queue(name, durable=True, arguments=arguments)

    async def delete(self, channel: AbstractChannel) -> None:
        """Delete the queue and all that belong to it, with their messages; not the exchange."""
        retries = [self.retry(delay)[0] for delay in RETRY_DELAYS]
        for name in (self.name, self.dead, *retries):
            await channel.queue_delete(name)


_QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}
_KEEPS = {**_QUORUM, "x-delivery-limit": 2**31 - 1}
"""RabbitMQ 4 drops what was looked at twenty times from a queue that sets no limit."""


def _to(queue: str) -> dict[str, Any]:
    """Return the arguments that have expired or refused messages go to ``queue``, surely."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # what at-least-once asks for
    }
