"""What the suites need of a broker, and a handler that remembers."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from cqrs_ddd_core import (
    BaseEventConsumer,
    ConsumerSettings,
    IMessageConsumer,
    IMessagePublisher,
    OutboxMessage,
    RetryPolicy,
)
from cqrs_ddd_messaging.dead_letters import BrokerDeadLetters

TIMEOUT = 60.0  # seconds; a loaded machine is slow, and no test waits longer than it must
FAST = RetryPolicy(max_attempts=3, base_delay=0.002, max_delay=0.01)


class ConsumerUnderTest(IMessageConsumer, Protocol):
    """A consumer whose dead letters are looked after by the toolkit, on a shelf of its own."""

    def dead_letters(self) -> BrokerDeadLetters:
        """Return what looks after them."""
        ...


class BrokerUnderTest(Protocol):
    """A broker with one empty destination and its dead letters."""

    @property
    def publisher(self) -> IMessagePublisher:
        """What publishes to the destination."""
        ...

    @property
    def consumer(self) -> ConsumerUnderTest:
        """What consumes it; connected several times, it goes on each time where it was."""
        ...

    async def publish_raw(self, body: bytes, attributes: Mapping[str, str]) -> None:
        """Publish bytes with these attributes of an envelope, as a foreign sender might."""
        ...

    def unroutable(self, message: OutboxMessage) -> OutboxMessage:
        """Return ``message``, changed so that it leads nowhere."""
        ...


class Handled:
    """A handler that remembers what it was given, and fails where it is told to."""

    def __init__(self, before: Callable[[OutboxMessage], Awaitable[Any]] | None = None) -> None:
        self.calls: list[OutboxMessage] = []
        self.done: list[OutboxMessage] = []
        self.fails: dict[str, int] = {}
        self._before = before

    async def __call__(self, message: OutboxMessage) -> None:
        """Handle ``message``."""
        self.calls.append(message)
        if self._before is not None:
            await self._before(message)
        if self.fails.get(message.message_id, 0) > 0:
            self.fails[message.message_id] -= 1
            raise HandlingFailed(message.message_id)
        self.done.append(message)

    @property
    def ids(self) -> list[str]:
        """The messages that were handled, in that order."""
        return [message.message_id for message in self.done]

    @property
    def by_key(self) -> dict[str, list[str]]:
        """The messages that were handled, by key."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for message in self.done:
            found[message.partition_key].append(message.message_id)
        return dict(found)

    def calls_of(self, message_id: str) -> int:
        """Return how often a message was tried."""
        return sum(call.message_id == message_id for call in self.calls)


class HandlingFailed(Exception):  # noqa: N818
    """What a handler raises on purpose."""


def message(message_id: str, key: str = "", **values: Any) -> OutboxMessage:
    """Return a message."""
    values = {
        "event_type": "conformance.Told",
        "payload": b'{"text": "\xc3\xa9"}',
        "occurred_at": datetime(2026, 3, 1, 2, 3, 4, 5, tzinfo=UTC),
        **values,
    }
    return OutboxMessage(message_id=message_id, partition_key=key, **values)


@asynccontextmanager
async def consuming(
    broker: BrokerUnderTest, handled: Callable[[OutboxMessage], Awaitable[Any]], **settings: Any
) -> AsyncGenerator[BaseEventConsumer]:
    """Run a consumer inside the block, and stop it in good order."""
    settings = {
        "retry_policy": FAST,
        "reconnect_policy": RetryPolicy(base_delay=0.05, max_delay=0.5),
        **settings,
    }
    consumer = BaseEventConsumer(
        broker.consumer, handled, name="conformance", settings=ConsumerSettings(**settings)
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        async with asyncio.timeout(TIMEOUT):
            await consumer.stop()
