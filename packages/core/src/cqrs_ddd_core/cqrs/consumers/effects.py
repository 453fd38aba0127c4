"""Handles messages: a batch in one unit of work, with the inbox recorded in the same."""

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast

from cqrs_ddd_core.cqrs.consumers.decoding import MessageDecoder
from cqrs_ddd_core.cqrs.context import with_correlation_context, with_tenant
from cqrs_ddd_core.cqrs.event_dispatcher import observed_handling
from cqrs_ddd_core.cqrs.instrumentation import get_hook_registry
from cqrs_ddd_core.cqrs.invocation import ConstructingHandlerFactory, Invoke, invoker
from cqrs_ddd_core.cqrs.registry import HandlerRegistry
from cqrs_ddd_core.cqrs.scope import current_scope
from cqrs_ddd_core.cqrs.unit_of_work import UnitOfWork
from cqrs_ddd_core.ports.bus import ICommandBus
from cqrs_ddd_core.ports.handler_factory import IHandlerFactory
from cqrs_ddd_core.ports.inbox_storage import IInboxStorage
from cqrs_ddd_core.ports.message_codec import IMessageCodec
from cqrs_ddd_core.ports.outbox_storage import OutboxMessage

MessageHandler = Callable[[OutboxMessage], Awaitable[Any]]
UnknownTypes = Literal["park", "skip"]


class RegisteredHandlers:
    """Has messages handled by what a registry holds for them.

    Args:
        registry: its event handlers react to events, whatever their phase. Commands go to
            ``mediator``.
        mediator: carries out commands, in the unit of work of the message.
        codecs: who reads which kind of bytes.
        handler_factory: makes handlers that were registered as classes.
        unknown_types: whether a message of a type that nobody here handles is parked or passed.
    """

    def __init__(
        self,
        registry: HandlerRegistry,
        *,
        mediator: ICommandBus | None = None,
        codecs: Sequence[IMessageCodec] = (),
        handler_factory: IHandlerFactory | None = None,
        unknown_types: UnknownTypes = "park",
    ) -> None:
        registry.validate()
        commands = registry.commands if mediator is not None else ()
        self._decoder = MessageDecoder([*registry.event_types(), *commands], codecs)
        self._registry, self._mediator = registry, mediator
        self._factory: IHandlerFactory = handler_factory or ConstructingHandlerFactory()
        self._skips_unknown = unknown_types == "skip"
        self._invokers: dict[type, list[tuple[str, Invoke]]] = {}

    async def __call__(self, message: OutboxMessage) -> None:
        """Decode ``message`` and run its handlers, one after another.

        Raises:
            UnreadableMessageError: it is of no type known here, or cannot be decoded.
        """
        if self._skips_unknown and not self._decoder.knows(message.event_type):
            return
        decoded = self._decoder.decode(message)
        message_type = cast("type[Any]", type(decoded))
        if self._mediator is not None and message_type in self._registry.commands:
            await self._mediator.send(decoded)
        for name, invoke in self._handlers_of(message_type):
            await observed_handling(decoded, name, invoke)

    def _handlers_of(self, event_type: type) -> list[tuple[str, Invoke]]:
        found = self._invokers.get(event_type)
        if found is None:
            found = self._invokers[event_type] = [
                (entry.registration.name, invoker(entry.registration, self._factory))
                for entry in self._registry.events
                if issubclass(event_type, entry.event_type)
            ]
        return found


class Effects:
    """Has messages handled, each once.

    Args:
        consumer: whose inbox it is.
        handle: what is done with a message.
        uow_factory: opens the unit of work that a batch shares; without one there is no
            transaction, and messages are handled one by one.
        inbox: remembers what has been handled, in that unit of work.

    Attributes:
        consumer: whose inbox it is.
    """

    def __init__(
        self,
        consumer: str,
        handle: MessageHandler,
        uow_factory: Callable[[], UnitOfWork] | None,
        inbox: IInboxStorage | None,
    ) -> None:
        self.consumer, self._handle = consumer, handle
        self._uow_factory, self._inbox = uow_factory, inbox

    @property
    def in_batches(self) -> bool:
        """Whether messages that are applied together also fail together."""
        return self._uow_factory is not None

    async def apply(self, messages: Sequence[OutboxMessage]) -> None:
        """Handle those of ``messages`` that have not been handled before, and commit.

        Raises:
            DuplicateMessageError: somebody else handled one of them at the same time.
            Exception: whatever a handler raised; nothing of the batch is kept then.
        """
        if self._uow_factory is None:
            for message in messages:
                await self._handle_in_context(message)
            return
        async with self._uow_factory() as uow:
            fresh = {message.message_id: message for message in messages}
            if self._inbox is not None:
                for known in await self._inbox.handled(self.consumer, list(fresh), uow):
                    del fresh[known]
            for message in fresh.values():
                await self._handle_in_context(message)
            if self._inbox is not None and fresh:
                await self._inbox.record(self.consumer, list(fresh), uow)

    async def _handle_in_context(self, message: OutboxMessage) -> None:
        hooks = get_hook_registry()
        with _context_of(message), with_tenant(message.tenant_id):
            if not hooks.active:
                await self._handle(message)
                return
            attributes = {
                "consumer": self.consumer,
                "message.type": message.event_type,
                "message.id": message.message_id,
                "headers": message.headers,
            }
            operation = f"consumer.consume.{message.event_type}"
            await hooks.execute_all(operation, attributes, lambda: self._handle(message))


@contextmanager
def _context_of(message: OutboxMessage) -> Generator[None]:
    """Continue the conversation of ``message``: what follows has it as its cause."""
    scope = current_scope()
    if scope is None:
        with with_correlation_context(message.correlation_id, message.message_id):
            yield
        return
    before = scope.correlation_id, scope.message_id
    scope.correlation_id, scope.message_id = message.correlation_id, message.message_id
    try:
        yield
    finally:
        scope.correlation_id, scope.message_id = before
