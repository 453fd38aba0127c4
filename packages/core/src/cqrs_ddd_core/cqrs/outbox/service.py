"""Delivers an outbox step by step, for who wants to say when."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from cqrs_ddd_core.cqrs.outbox.relay import Relay
from cqrs_ddd_core.cqrs.outbox.settings import RelaySettings, default_retries
from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports.message_publisher import IMessagePublisher
from cqrs_ddd_core.ports.outbox_relay import IOutboxRelayStorage, RelayLeaseLostError


class _Step(NamedTuple):
    """How many messages or blocked keys there were to look after, and how many were delivered."""

    found: int
    delivered: int


class OutboxService:
    """A relay that works when told to: in a command line, a cron job, a test.

    Close it, or use it as a context manager: it gives its slots back then, for which other relays
    would else wait until its lease ends.

    Args:
        storage: the outbox.
        publisher: hands the messages on.
        lock_strategy: not needed; leases in the storage keep relays apart.
        max_retries: how often a message is tried again before it becomes a dead letter.
        settings: everything else; ``max_retries`` counts for nothing then.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_core import InMemoryOutboxStorage, OutboxMessage, utc_now
        >>> class Printer:
        ...     async def publish(self, messages):
        ...         print(*[message.event_type for message in messages])
        ...         return [None] * len(messages)
        >>> async def deliver():
        ...     outbox = InMemoryOutboxStorage()
        ...     await outbox.save_messages([OutboxMessage(
        ...         message_id="m-1", event_type="Placed", payload=b"{}", occurred_at=utc_now())])
        ...     async with OutboxService(outbox, Printer()) as service:
        ...         return await service.process_batch()
        >>> asyncio.run(deliver())
        Placed
        1
    """

    def __init__(
        self,
        storage: IOutboxRelayStorage,
        publisher: IMessagePublisher,
        lock_strategy: Any = None,  # noqa: ARG002 - see above
        *,
        max_retries: int = 5,
        settings: RelaySettings | None = None,
        name: str = "service",
    ) -> None:
        settings = settings or RelaySettings(retries=default_retries(max_retries))
        self.relay = Relay(storage, publisher, settings, name=name)

    async def process_batch(self, batch_size: int = 50) -> int:
        """Publish at most ``batch_size`` waiting messages; return how many were delivered.

        Raises:
            RelayLeaseLostError: the lease ran out while they were published. Another relay
                delivers them; some may be delivered twice.
            Exception: the broker is away, as the publisher has it; nothing was changed.
        """
        return (await self._process(batch_size)).delivered

    async def retry_failed(self, batch_size: int = 50) -> int:
        """Try again messages that have failed and whose time has come; return how many succeeded.

        What waits behind them is delivered by the next ``process_batch``.
        """
        published = 0
        while published < batch_size:
            step = await self._retry()
            published += step.delivered
            if not step.delivered:
                break
        return published

    async def drain(self) -> int:
        """Publish until nothing waits but what has failed; return how many were delivered."""
        total = 0
        while True:
            step = await self._process(self.relay.settings.batch_size)
            if not step.found:
                step = await self._retry()
            total += step.delivered
            if not step.found:
                return total

    async def close(self) -> None:
        """Give the slots back."""
        await shielded(self.relay.leave())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _process(self, batch_size: int) -> "_Step":
        return await self._step(lambda: self.relay.read(batch_size))

    async def _retry(self) -> "_Step":
        return await self._step(self.relay.retry_due)

    async def _step(self, find: Callable[[], Awaitable[int]]) -> "_Step":
        """Publish what ``find`` queues."""
        try:
            await self.relay.converse(is_draining=True)
            found = await find()
            return _Step(found, await self._publish_all())
        except RelayLeaseLostError:
            await self.relay.start_over()
            raise

    async def _publish_all(self) -> int:
        relay, delivered = self.relay, 0
        try:
            while relay.queues.is_any_ready:
                await relay.publish(relay.queues.take_any(relay.settings.batch_size))
                delivered += await relay.settle()
                if relay.outage.error is not None:
                    raise relay.outage.error
        finally:
            relay.drop_queued()
        return delivered + await relay.settle()
