"""A consumer: connects, works, connects again, until it is stopped."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from cqrs_ddd_core.cqrs.consumers.effects import (
    Effects,
    MessageHandler,
    RegisteredHandlers,
    UnknownTypes,
)
from cqrs_ddd_core.cqrs.consumers.session import Session
from cqrs_ddd_core.cqrs.consumers.settings import ConsumerSettings
from cqrs_ddd_core.cqrs.registry import HandlerRegistry
from cqrs_ddd_core.cqrs.unit_of_work import UnitOfWork
from cqrs_ddd_core.ports.bus import ICommandBus
from cqrs_ddd_core.ports.handler_factory import IHandlerFactory
from cqrs_ddd_core.ports.inbox_storage import IInboxStorage
from cqrs_ddd_core.ports.message_codec import IMessageCodec
from cqrs_ddd_core.ports.message_consumer import IMessageConsumer
from cqrs_ddd_core.ports.worker_part import Progress
from cqrs_ddd_core.primitives.errors import ConfigurationError

_log = logging.getLogger(__name__)
_STALL_AFTER = 60.0  # seconds a handler may take before the consumer counts as stalled


class BaseEventConsumer:
    """Has the messages of a broker handled: each once, those of a key in order.

    A batch of messages shares one unit of work, in which the inbox notes them; they are
    acknowledged after its commit. A message that fails is tried again after a while, with those of
    its key waiting behind it, and parked among the broker's dead letters when its attempts are used
    up. When the connection breaks, the consumer connects again.

    Args:
        broker: where messages come from.
        handlers: a registry, whose event handlers all run inside the message's unit of work,
            whatever their phase; or one coroutine function that takes each message encoded.
        name: whose inbox it is. Never change it while messages are under way.
        uow_factory: opens units of work; without one there is no transaction, no inbox, and a
            repeated delivery is handled again.
        inbox: what has been handled, on the same store as the units of work.
        mediator: carries out the commands that ``handlers`` knows.
        codecs: who reads which kind of bytes; JSON by default.
        handler_factory: makes handlers that were registered as classes.
        unknown_types: ``"park"`` a message of a type that nobody here handles, or ``"skip"`` it
            where a topic also carries what is not meant for this consumer.
        settings: how much at once, how often again.

    Attributes:
        name: whose inbox it is, and what it is called as a part of a ``Worker``.
        broker: where messages come from.
        progress: how it gets on.

    Example:
        >>> from cqrs_ddd_core import OutboxMessage
        >>> async def handle(message: OutboxMessage) -> None: ...
        >>> def start(broker: IMessageConsumer) -> BaseEventConsumer:
        ...     return BaseEventConsumer(broker, handle, name="billing")
    """

    def __init__(
        self,
        broker: IMessageConsumer,
        handlers: HandlerRegistry | MessageHandler,
        *,
        name: str,
        uow_factory: Callable[[], UnitOfWork] | None = None,
        inbox: IInboxStorage | None = None,
        mediator: ICommandBus | None = None,
        codecs: Sequence[IMessageCodec] = (),
        handler_factory: IHandlerFactory | None = None,
        unknown_types: UnknownTypes = "park",
        settings: ConsumerSettings | None = None,
    ) -> None:
        if isinstance(handlers, HandlerRegistry):
            handlers = RegisteredHandlers(
                handlers,
                mediator=mediator,
                codecs=codecs,
                handler_factory=handler_factory,
                unknown_types=unknown_types,
            )
        self.name, self.broker = name, broker
        self._settings = settings or ConsumerSettings()
        self.progress = Progress(stall_after=_STALL_AFTER + self._settings.retry_policy.max_delay)
        self._effects = Effects(name, handlers, uow_factory, inbox)
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._session: Session | None = None
        self._settled = 0

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection right now."""
        return self._session is not None

    @property
    def held(self) -> int:
        """How many messages are held and not settled."""
        return self._session.held if self._session is not None else 0

    @property
    def settled(self) -> int:
        """How many deliveries have been settled since the start: the sign of progress."""
        return self._settled + (self._session.settled if self._session is not None else 0)

    async def start(self) -> None:
        """Begin to work in a task of its own; no harm when it works already."""
        if self._running is None or self._running.done():
            self._stopping = asyncio.Event()
            work = self.run(self._stopping)
            self._running = asyncio.create_task(work, name=f"consumer {self.name}")

    async def stop(self) -> None:
        """Take nothing more, finish what has begun until the drain deadline, disconnect."""
        self._stopping.set()
        if self._running is not None:
            await self._running

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until ``stopping`` is set or the task is cancelled, as a part of a ``Worker``.

        After that, nothing more is taken; what has begun is finished until the drain deadline.

        Raises:
            ConfigurationError: it can never work as it is wired.
        """
        failures = 0
        while not stopping.is_set():
            try:
                async with self.broker.connect() as subscription:
                    failures = 0
                    self.progress.idle()
                    session = Session(subscription, self._effects, self._settings, self.progress)
                    await self._work_in(session, stopping)
            except ConfigurationError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it was, the next connection may be better
                failures += 1
                self.progress.trouble(error)
                delay = self._settings.reconnect_policy.delay(failures)
                _log.warning(
                    "Consumer %s lost %s, connects again in %.1f s: %r",
                    *(self.name, self.broker.name, delay, error),
                )
                await _wait(stopping, delay)

    async def _work_in(self, session: Session, stopping: asyncio.Event) -> None:
        self._session = session
        try:
            await session.run(stopping)
        finally:
            self._session = None
            self._settled += session.settled


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    """Wait, but no longer than until the consumer is to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
