"""Brings events to DURABLE handlers of this process: a publisher that needs no broker."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import cast

from cqrs_ddd_core.cqrs.codec import JsonMessageCodec
from cqrs_ddd_core.cqrs.context import with_correlation_context
from cqrs_ddd_core.cqrs.handler import EventPhase
from cqrs_ddd_core.cqrs.mediator import Mediator
from cqrs_ddd_core.cqrs.registry import Registration
from cqrs_ddd_core.cqrs.unit_of_work import UnitOfWork
from cqrs_ddd_core.domain.event import DomainEvent, event_type_of
from cqrs_ddd_core.domain.event_types import EventTypeRegistry, UnknownEventTypeError
from cqrs_ddd_core.ports.inbox_storage import DuplicateMessageError, IInboxStorage
from cqrs_ddd_core.ports.message_codec import IMessageCodec
from cqrs_ddd_core.ports.outbox_relay import order_key_of
from cqrs_ddd_core.ports.outbox_storage import OutboxMessage
from cqrs_ddd_core.primitives.errors import ConcurrencyError, InfrastructureError

_log = logging.getLogger(__name__)
_RACES = 5  # how often a handler that lost a race runs again before the relay sees a failure

Handled = dict[str, set[str]]


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

    Each handler runs in a unit of work of its own, which also records the message in the inbox
    under the handler's name. When one of them fails, the others are not repeated. What handlers
    raise goes through the outbox again, in the same conversation.

    Args:
        mediator: knows the handlers and opens units of work; or a function that returns it, where
            it is made later.
        inbox: on the store of those units of work.
        codec: decodes messages; JSON by default.
        event_types: classes by their stored names, for events that are no ``DomainEvent`` and
            have no handler.
        max_concurrency: how many keys are handled at once.

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
    ) -> None:
        self._given, self._inbox = mediator, inbox
        self._codec: IMessageCodec = codec or JsonMessageCodec()
        self._event_types = event_types
        self._max_concurrency = max_concurrency
        self._wanted: dict[str, tuple[type, list[Registration]]] = {}
        self._unwanted: set[str] = set()

    @cached_property
    def _mediator(self) -> Mediator:
        mediator = self._given if isinstance(self._given, Mediator) else self._given()
        mediator.registry.on_change(self._forget)
        return mediator

    async def publish(self, messages: Sequence[OutboxMessage]) -> Sequence[Exception | None]:
        """Have ``messages`` handled and return what has become of each (see the port)."""
        outcomes: list[Exception | None] = [None] * len(messages)
        chains: dict[str, list[int]] = {}
        for place, message in enumerate(messages):
            chains.setdefault(order_key_of(message), []).append(place)
        handled = await self._handled(messages)
        waiting = iter(chains.values())

        async def work() -> None:
            for places in waiting:
                await self._handle_in_order(messages, places, outcomes, handled)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._max_concurrency, len(chains))):
                group.create_task(work())
        return outcomes

    async def _handled(self, messages: Sequence[OutboxMessage]) -> Handled:
        """Ask the inbox once a handler which messages it has handled already."""
        ids: dict[str, list[str]] = {}
        for message in messages:
            found = self._find(message.event_type)
            for handler in found[1] if found is not None else ():
                ids.setdefault(handler.name, []).append(message.message_id)
        return {name: await self._inbox.handled(name, wanted) for name, wanted in ids.items()}

    async def _handle_in_order(
        self,
        messages: Sequence[OutboxMessage],
        places: Sequence[int],
        outcomes: list[Exception | None],
        handled: Handled,
    ) -> None:
        for number, place in enumerate(places):
            try:
                await self._handle(messages[place], handled)
            except Exception as error:  # noqa: BLE001 - it is the outcome
                outcomes[place] = error
                later = EarlierMessageFailedError(messages[place].message_id)
                for behind in places[number + 1 :]:
                    outcomes[behind] = later
                return

    async def _handle(self, message: OutboxMessage, handled: Handled) -> None:
        """Run all handlers of a message, each to its own end.

        Raises:
            Exception: what a handler raised; several as a group.
        """
        found = self._find(message.event_type)
        if found is None:
            self._refuse_unknown(message.event_type)
            return
        event_class, handlers = found
        event = self._codec.decode(cast("type[object]", event_class), message.payload)
        failures: list[Exception] = []
        for handler in handlers:
            if message.message_id in handled.get(handler.name, ()):
                continue
            try:
                await self._run(event, message, handler)
            except Exception as error:  # noqa: BLE001 - the other handlers get their turn
                _log.warning("%s failed on %s", handler.name, message.event_type, exc_info=error)
                failures.append(error)
        if len(failures) > 1:
            raise ExceptionGroup(f"{len(failures)} handlers of {message.event_type}", failures)
        if failures:
            raise failures[0]

    async def _run(self, event: object, message: OutboxMessage, handler: Registration) -> None:
        async def record(uow: UnitOfWork) -> None:
            await self._inbox.record(handler.name, [message.message_id], uow)

        for race in range(1, _RACES + 1):
            try:
                with with_correlation_context(message.correlation_id, message.causation_id):
                    await self._mediator.react(
                        event, handler, message_id=message.message_id, before_commit=record
                    )
            except DuplicateMessageError:  # another relay was faster, or this one was killed
                return
            except ConcurrencyError:
                if race == _RACES:
                    raise
            else:
                return

    # -- which class, which handlers -----------------------------------------------------------

    def _find(self, event_type: str) -> tuple[type, list[Registration]] | None:
        """Return the class of a stored name and its DURABLE handlers; None where it has none."""
        found = self._wanted.get(event_type)
        if found is not None or event_type in self._unwanted:
            return found
        registry = self._mediator.registry
        for event_class in _with_derived(registry.event_types(EventPhase.DURABLE)):
            if self._name_of(event_class) == event_type:
                handlers = registry.event_handlers(event_class, EventPhase.DURABLE)
                unique = {handler.name: handler for handler in handlers}
                found = self._wanted[event_type] = (event_class, list(unique.values()))
                return found
        return None

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
        self._unwanted.clear()


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
