"""Brings events to DURABLE handlers of this process: a publisher that needs no broker."""

import asyncio
import logging
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from functools import cached_property
from typing import TypeVar, cast

from cqrs_ddd_core.cqrs.codec import JsonMessageCodec
from cqrs_ddd_core.cqrs.consumers.effects import Effects
from cqrs_ddd_core.cqrs.handler import EventPhase
from cqrs_ddd_core.cqrs.mediator import Mediator
from cqrs_ddd_core.cqrs.registry import Registration
from cqrs_ddd_core.domain.event import DomainEvent, event_type_of
from cqrs_ddd_core.domain.event_types import EventTypeRegistry, UnknownEventTypeError
from cqrs_ddd_core.ports.inbox_storage import DuplicateMessageError, IInboxStorage
from cqrs_ddd_core.ports.message_codec import IMessageCodec
from cqrs_ddd_core.ports.outbox_relay import order_key_of
from cqrs_ddd_core.ports.outbox_storage import OutboxMessage
from cqrs_ddd_core.primitives.errors import ConcurrencyError, InfrastructureError

T = TypeVar("T")

_log = logging.getLogger(__name__)
_RACES = 5  # how often a handler that lost a race runs again before the relay sees a failure


class EarlierMessageFailedError(InfrastructureError):
    """A message was not handled, because an earlier one of its key has failed.

    Attributes:
        message_id: the earlier one.
    """

    def __init__(self, message_id: str) -> None:
        self.message_id = message_id
        super().__init__(
            f"Message {message_id} of the same key has failed; this one follows once that one has "
            "succeeded or been discarded."
        )


class DurableHandlerPublisher:
    """Has the DURABLE handlers of this process handle messages, each effectively once.

    Each handler runs in units of work of its own, which also record the messages in the inbox under
    the handler's name. Messages that come together share one; when that fails, each is handled
    again in one of its own, and only that counts. When one handler fails, the others are not
    repeated. What handlers raise goes through the outbox again, in the same conversation.

    Args:
        mediator: knows the handlers and opens units of work; or a function that returns it, where
            it is made later.
        inbox: on the store of those units of work.
        codec: decodes messages; JSON by default.
        event_types: classes by their stored names, for events that are no ``DomainEvent`` and
            have no handler.
        max_concurrency: how many units of work are open at once, at most.
        batch_size: how many messages share one, about: those of a key are never parted. 1 gives
            each its own, for effects elsewhere that another's failure must not repeat.

    Example:
        >>> from cqrs_ddd_core import (
        ...     DomainEvent, EventPhase, HandlerRegistry, InMemoryDatabase, InMemoryInboxStorage,
        ...     InMemoryOutboxStorage, InMemoryUnitOfWork, MiddlewareRegistry, OutboxMiddleware)
        >>> from cqrs_ddd_core.cqrs.outbox import OutboxService
        >>> class OrderPlaced(DomainEvent):
        ...     total: int
        >>> async def send_invoice(event: OrderPlaced) -> None:
        ...     print("an invoice of", event.total)
        >>> registry = HandlerRegistry()
        >>> registry.register_event_handler(
        ...     OrderPlaced, send_invoice, phase=EventPhase.DURABLE, name="send-invoice")
        >>> outbox, database = InMemoryOutboxStorage(), InMemoryDatabase()
        >>> mediator = Mediator(
        ...     registry, lambda: InMemoryUnitOfWork(database),
        ...     middleware_registry=MiddlewareRegistry([OutboxMiddleware(outbox)]))
        >>> async def work() -> int:
        ...     await mediator.publish(OrderPlaced(total=30))
        ...     handlers = DurableHandlerPublisher(mediator, InMemoryInboxStorage())
        ...     async with OutboxService(outbox, handlers) as service:
        ...         return await service.drain()
        >>> asyncio.run(work())
        an invoice of 30
        1
    """

    def __init__(
        self,
        mediator: Mediator | Callable[[], Mediator],
        inbox: IInboxStorage,
        *,
        codec: IMessageCodec | None = None,
        event_types: EventTypeRegistry | None = None,
        max_concurrency: int = 10,
        batch_size: int = 50,
    ) -> None:
        self._given, self._inbox = mediator, inbox
        self._codec: IMessageCodec = codec or JsonMessageCodec()
        self._event_types = event_types
        self._max_concurrency, self._batch_size = max_concurrency, batch_size
        self._wanted: dict[str, tuple[type, list[Effects]]] = {}
        self._effects: dict[str, Effects] = {}
        self._unwanted: set[str] = set()

    @cached_property
    def _mediator(self) -> Mediator:
        mediator = self._given if isinstance(self._given, Mediator) else self._given()
        mediator.registry.on_change(self._forget)
        return mediator

    async def publish(self, messages: Sequence[OutboxMessage]) -> Sequence[Exception | None]:
        """Have ``messages`` handled and return what has become of each (see the port)."""
        chains: dict[str, list[OutboxMessage]] = {}
        for message in messages:
            chains.setdefault(order_key_of(message), []).append(message)
        failures: dict[str, Exception] = {}
        waiting = _batches(chains.values(), self._batch_size)

        async def work() -> None:
            for batch in waiting:
                if not await self._handle_together([each for chain in batch for each in chain]):
                    for chain in batch:
                        await self._handle_in_order(chain, failures)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._max_concurrency, len(chains))):
                group.create_task(work())
        return [failures.get(message.message_id) for message in messages]

    async def _handle_together(self, messages: Sequence[OutboxMessage]) -> bool:
        """Handle messages in one unit of work a handler; return False when that is not enough.

        The inbox knows then what has been done.
        """
        if min(len(messages), self._batch_size) <= 1:
            return False
        wanted: dict[str, tuple[Effects, list[OutboxMessage]]] = {}
        try:
            for message in messages:
                for effects in self._effects_of(message):
                    wanted.setdefault(effects.consumer, (effects, []))[1].append(message)
            for effects, batch in wanted.values():
                await effects.apply(batch)
        except Exception as error:  # noqa: BLE001 - each is repeated alone, where it counts
            _log.debug("%d messages are handled again one by one: %r", len(messages), error)
            return False
        return True

    async def _handle_in_order(
        self, chain: Sequence[OutboxMessage], failures: dict[str, Exception]
    ) -> None:
        for number, message in enumerate(chain):
            try:
                await self._handle(message)
            except Exception as error:  # noqa: BLE001 - it is the outcome
                failures[message.message_id] = error
                for behind in chain[number + 1 :]:
                    failures[behind.message_id] = EarlierMessageFailedError(message.message_id)
                return

    async def _handle(self, message: OutboxMessage) -> None:
        """Run all handlers of a message, each to its own end.

        Raises:
            Exception: what a handler raised; several as a group.
        """
        failures: list[Exception] = []
        for effects in self._effects_of(message):
            try:
                await _apply_alone(effects, message)
            except Exception as error:  # noqa: BLE001 - the other handlers get their turn
                _log.warning(
                    "%s failed on %s", effects.consumer, message.event_type, exc_info=error
                )
                failures.append(error)
        if len(failures) > 1:
            raise ExceptionGroup(f"{len(failures)} handlers of {message.event_type}", failures)
        if failures:
            raise failures[0]

    # -- which class, which handlers -----------------------------------------------------------

    def _effects_of(self, message: OutboxMessage) -> Sequence[Effects]:
        """Return what each DURABLE handler of a message does with it.

        Raises:
            UnknownEventTypeError: nothing here is called as its type is.
        """
        found = self._find(message.event_type)
        if found is None:
            self._refuse_unknown(message.event_type)
            return ()
        return found[1]

    def _find(self, event_type: str) -> tuple[type, list[Effects]] | None:
        """Return the class of a stored name and its DURABLE handlers; None where it has none."""
        found = self._wanted.get(event_type)
        if found is not None or event_type in self._unwanted:
            return found
        registry = self._mediator.registry
        for event_class in _with_derived(registry.event_types(EventPhase.DURABLE)):
            if self._name_of(event_class) == event_type:
                handlers = registry.event_handlers(event_class, EventPhase.DURABLE)
                unique = {handler.name: self._effects_by(handler) for handler in handlers}
                found = self._wanted[event_type] = (event_class, list(unique.values()))
                return found
        return None

    def _effects_by(self, handler: Registration) -> Effects:
        """Return what has messages handled by ``handler``, whichever of its types they are of."""
        found = self._effects.get(handler.name)
        if found is not None:
            return found

        async def handle(message: OutboxMessage) -> None:
            wanted = self._find(message.event_type)
            assert wanted is not None, "who handles a message has been found by its type"
            event = self._codec.decode(cast("type[object]", wanted[0]), message.payload)
            await self._mediator.react(event, handler, message_id=message.message_id)

        effects = Effects(handler.name, handle, self._mediator.unit_of_work, self._inbox)
        return self._effects.setdefault(handler.name, effects)

    def _refuse_unknown(self, event_type: str) -> None:
        """Refuse a name that nothing here is called by: its handler may be missing here.

        Raises:
            UnknownEventTypeError: no class has this name.
        """
        if event_type in self._unwanted:
            return
        known = {event_type_of(DomainEvent)}
        for event_class in _with_derived([DomainEvent, *self._mediator.registry.event_types()]):
            known.add(self._name_of(event_class))
        if self._event_types is not None:
            known.update(self._event_types.list_registered())
        if event_type not in known:
            raise UnknownEventTypeError(event_type, sorted(known))
        self._unwanted.add(event_type)

    def _name_of(self, event_class: type) -> str:
        if self._event_types is not None:
            return self._event_types.name_of(event_class)
        return event_type_of(event_class)

    def _forget(self) -> None:
        self._wanted.clear()
        self._effects.clear()
        self._unwanted.clear()


async def _apply_alone(effects: Effects, message: OutboxMessage) -> None:
    """Have one message handled, again at once where a race was lost."""
    for race in range(1, _RACES + 1):
        try:
            await effects.apply([message])
        except DuplicateMessageError:  # another relay was faster, or this one was killed
            return
        except ConcurrencyError:
            if race == _RACES:
                raise
        else:
            return


def _batches(chains: Collection[list[T]], size: int) -> Generator[list[list[T]]]:
    """Return chains in groups of about ``size`` links; none is parted."""
    batch: list[list[T]] = []
    links = 0
    for chain in chains:
        if batch and links + len(chain) > size:
            yield batch
            batch, links = [], 0
        batch.append(chain)
        links += len(chain)
    if batch:
        yield batch


def _with_derived(classes: Iterable[type]) -> list[type]:
    """Return the classes and all that are derived from them, each once."""
    found: dict[type, None] = {}
    waiting = list(classes)
    while waiting:
        event_class = waiting.pop(0)
        if event_class not in found:
            found[event_class] = None
            waiting += event_class.__subclasses__()
    return list(found)
