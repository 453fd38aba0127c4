"""An outbox with a relay of its own, running in the background of the application."""

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

from cqrs_ddd_core.cqrs.outbox.relay import Relay, boot_time
from cqrs_ddd_core.cqrs.outbox.settings import RelaySettings, default_retries
from cqrs_ddd_core.cqrs.scope import current_scope
from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports.feed_signal import FeedSignal
from cqrs_ddd_core.ports.message_publisher import IMessagePublisher
from cqrs_ddd_core.ports.outbox_operations import IOutboxOperations
from cqrs_ddd_core.ports.outbox_relay import IOutboxRelayStorage, RelayLeaseLostError
from cqrs_ddd_core.ports.outbox_storage import IOutboxStorage, OutboxMessage
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.ports.worker_part import Progress
from cqrs_ddd_core.primitives.message_context import current_context

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class RelayableOutbox(IOutboxStorage, IOutboxRelayStorage, IOutboxOperations, Protocol):
    """A storage that units of work write to, relays read from, and people look after."""


class BufferedOutbox:
    """Takes messages in the unit of work that raises them, and delivers them in the background.

    It is the storage as far as ``OutboxMiddleware`` is concerned; a commit wakes the relay at
    once. Any number of them, in any number of processes, may work on the same storage. Messages
    of one partition key are delivered in the order they were saved; a message that fails holds up
    its own key alone.

    Args:
        storage: the outbox.
        broker: hands the messages on: a broker's publisher, or ``DurableHandlerPublisher``.
        lock_strategy: not needed; leases in the storage keep relays apart.
        batch_size: messages in one read, and in one call of the broker.
        max_retries: how often a message is tried again before it becomes a dead letter.
        poll_interval: seconds between two looks into the storage when nothing comes; messages of
            this process do not wait for it.
        settings: everything else; the three above count for nothing then.
        name: how it shows up among the relays; host and process by default.
        signal: told of commits here, and wakes the relay; such as a ``PostgreSQLSignal``, by which
            one process wakes the relays of others.

    Example:
        >>> from cqrs_ddd_core import InMemoryOutboxStorage, OutboxMessage, utc_now
        >>> class Printer:
        ...     async def publish(self, messages):
        ...         print(*[message.event_type for message in messages])
        ...         return [None] * len(messages)
        >>> async def work():
        ...     async with BufferedOutbox(storage=InMemoryOutboxStorage(), broker=Printer()) as box:
        ...         await box.save_messages([OutboxMessage(
        ...             message_id="m-1", event_type="Placed", payload=b"{}",
        ...             occurred_at=utc_now())])
        ...         while await box.get_pending():
        ...             await asyncio.sleep(0)
        >>> asyncio.run(work())
        Placed
    """

    def __init__(
        self,
        storage: RelayableOutbox,
        broker: IMessagePublisher,
        lock_strategy: Any = None,  # noqa: ARG002 - see above
        *,
        batch_size: int = 500,
        max_retries: int = 5,
        poll_interval: float = 0.25,
        settings: RelaySettings | None = None,
        name: str | None = None,
        signal: FeedSignal | None = None,
    ) -> None:
        self._storage, self._signal = storage, signal
        self.settings = settings or RelaySettings(
            batch_size=batch_size,
            max_held=max(2000, 4 * batch_size),
            poll_interval=poll_interval,
            retries=default_retries(max_retries),
        )
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self.relay = Relay(storage, broker, self.settings, name=self.name)
        self.progress = Progress()
        self._drain_timeout = self.settings.drain_timeout
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_at_work = False
        self._stop_by: float | None = None

    # -- taking messages -----------------------------------------------------------------------

    async def save_messages(
        self, messages: Sequence[OutboxMessage], uow: IUnitOfWork | None = None
    ) -> None:
        """Save ``messages`` in the unit of work, and have them delivered once it has committed."""
        await self._storage.save_messages(messages, uow)
        scope = current_scope() if uow is None else None
        uow = scope.uow if scope is not None else uow
        if uow is None:
            await self._committed()
        elif messages and (self._is_at_work or self._signal is not None):
            uow.on_commit(self._committed)

    async def get_pending(
        self, limit: int = 100, uow: IUnitOfWork | None = None
    ) -> list[OutboxMessage]:
        """Return at most ``limit`` messages that wait, oldest first."""
        return await self._storage.get_pending(limit, uow)

    def wake(self) -> None:
        """Have the relay look into the storage now."""
        self.relay.read_soon()

    async def _committed(self) -> None:
        self.wake()
        if self._signal is not None:
            self._signal.notify()

    # -- delivering them -----------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether the relay is at work."""
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Begin to deliver, in a task of its own; no harm when that has begun."""
        if not self.is_running:
            self._stopping = asyncio.Event()
            self._drain_timeout = self.settings.drain_timeout
            self._task = asyncio.create_task(self.run(self._stopping), name="outbox relay")

    async def drained(self) -> None:
        """Wait until nothing waits but messages that have failed; somebody must be delivering.

        It may take for ever when the broker is away: put ``asyncio.timeout`` around it.
        """
        while (await self._storage.statistics()).oldest_age is not None:
            self.wake()
            await asyncio.sleep(self.settings.shortest_poll)

    async def stop(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - of the drain
        """Read no more, wait for what is being published, settle it, give the slots back.

        Args:
            timeout: seconds to wait; ``settings.drain_timeout`` by default. What is not done by
                then is cancelled, and delivered after the next start.
        """
        if self._task is None:
            return
        if timeout is not None:
            self._drain_timeout = timeout
        self._stopping.set()
        task, self._task = self._task, None
        await asyncio.shield(task)

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until ``stopping`` is set or the task is cancelled, as a part of a ``Worker``.

        After that, nothing more is read; what is being published is waited for until
        ``settings.drain_timeout``, and settled.
        """
        relay, pause = self.relay, _FIRST_PAUSE
        token = current_context.set(None)  # what is delivered belongs to other conversations
        self._stop_by, self._is_at_work = None, True
        watching = [
            asyncio.create_task(self._begin_stop_when(stopping)),
            asyncio.create_task(self._wake_by_signal()),
        ]
        try:
            while not self._is_done():
                relay.poke.clear()
                self.progress.wakes()
                try:
                    await relay.converse(is_draining=self._stop_by is not None)
                except RelayLeaseLostError:
                    await relay.start_over()
                except Exception as error:  # noqa: BLE001 - the store may be back in a moment
                    relay.floor.rewind()
                    self.progress.trouble(error)
                    await self._wait(boot_time() + relay.trouble(error, pause))
                    pause = min(_LONGEST_PAUSE, pause * 2)
                else:
                    pause = _FIRST_PAUSE
                    until = self._dispatch()
                    self._note_step()
                    await self._wait(until)
        finally:
            self._is_at_work = False
            for watcher in watching:
                watcher.cancel()
            current_context.reset(token)
            await shielded(self._end())

    async def _begin_stop_when(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._stop_by = boot_time() + self._drain_timeout
        self.relay.drop_queued()
        self.relay.poke.set()

    async def _wake_by_signal(self) -> None:
        while self._signal is not None:
            seen = self._signal.count
            if await self._signal.wait(seen, _LONGEST_PAUSE):
                self.wake()

    def _note_step(self) -> None:
        """Say how the relay gets on: what it has in hand, or why that stays there."""
        relay = self.relay
        if relay.outage.error is not None:
            self.progress.trouble(relay.outage.error)
        elif relay.is_busy or relay.in_hand:
            self.progress.busy(lag=relay.in_hand)
        else:
            self.progress.idle()

    def _dispatch(self) -> float:
        """Have published what can be, unless this is the end; return when to come again."""
        if self._stop_by is not None:
            return min(self._stop_by, self.relay.next_due(is_draining=True))
        self.relay.dispatch()
        return self.relay.next_due()

    def _is_done(self) -> bool:
        stop_by = self._stop_by
        return stop_by is not None and (not self.relay.is_busy or boot_time() >= stop_by)

    async def _wait(self, until: float) -> None:
        """Wait until then, or until something has happened."""
        seconds = until - boot_time()
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.relay.poke.wait()

    async def _end(self) -> None:
        """Write down what is known, and give the slots back; else they end with the lease."""
        await self.relay.cancel_calls()
        with suppress(Exception):
            await self.relay.settle()
        with suppress(Exception):
            await self.relay.leave()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()
