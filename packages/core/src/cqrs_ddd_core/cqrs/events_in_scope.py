"""What happens to the events of a unit of work, before and after its commit."""

from collections.abc import Iterable, Sequence
from typing import Any

from cqrs_ddd_core.cqrs.event_dispatcher import EventDispatcher, observed_handling
from cqrs_ddd_core.cqrs.event_queue import EventQueue, event_id_of
from cqrs_ddd_core.cqrs.handler import EventPhase
from cqrs_ddd_core.cqrs.instrumentation import get_hook_registry
from cqrs_ddd_core.cqrs.invocation import Invoke, invoker
from cqrs_ddd_core.cqrs.registry import HandlerRegistry
from cqrs_ddd_core.cqrs.scope import Scope
from cqrs_ddd_core.ports.handler_factory import IHandlerFactory
from cqrs_ddd_core.ports.middleware import IEventSink


class EventsInScope:
    """Takes events, runs their in-transaction handlers, stores them, hands them on.

    One for each mediator; what belongs to one unit of work lives in its ``Scope``.
    """

    def __init__(
        self,
        registry: HandlerRegistry,
        handlers: IHandlerFactory,
        dispatcher: EventDispatcher,
        sinks: Sequence[IEventSink],
        max_depth: int,
    ) -> None:
        self._registry, self._handlers = registry, handlers
        self._dispatcher, self._sinks, self._max_depth = dispatcher, sinks, max_depth
        self._in_transaction: dict[type, list[tuple[str, Invoke]]] = {}
        self._known = 0
        self._adopt_handlers()
        registry.on_change(self._adopt_handlers)

    @property
    def has_outbox(self) -> bool:
        """Whether there is a sink from which events are delivered; an event store keeps them."""
        return any(getattr(sink, "delivers", True) for sink in self._sinks)

    def take(self, scope: Scope, returned: Iterable[Any]) -> list[Any]:
        """Take the events a handler returned and those recorded by aggregates, each once.

        Only aggregates that have said that they recorded one are looked at: see ``take_all``.
        """
        recorded, scope.with_events = scope.with_events or (), None
        return self._take(scope, returned, scope.uow.tracked_with_events(recorded))

    def take_all(self, scope: Scope, returned: Iterable[Any]) -> list[Any]:
        """Take events as ``take`` does, and look at all aggregates, which costs a look at each.

        One may have recorded an event where the scope could not hear it: in code that runs in
        another context, or by an ``add_event`` of its own. So the last look is at all of them.
        """
        scope.with_events = None
        return self._take(scope, returned, scope.uow.tracked())

    def take_early(self, scope: Scope) -> None:
        """Take what the running handler has recorded, before a message that it sends adds to it."""
        if scope.with_events:
            scope.taken = [*scope.taken, *self.take(scope, ())]

    def _take(self, scope: Scope, returned: Iterable[Any], aggregates: Iterable[Any]) -> list[Any]:
        pending = [event for aggregate in aggregates for event in aggregate.clear_events()]
        events = [*returned, *pending]
        if not events:
            return events
        if scope.events is None:
            scope.events = EventQueue(self._max_depth)
        return scope.events.take(events, scope.correlation_id, scope.message_id)

    def adopt(self, scope: Scope) -> None:
        """See to the events of a unit of work that was opened without a mediator."""
        if scope.uow.entered_as(scope) and scope.events is None:
            scope.events = EventQueue(self._max_depth)

            async def settle() -> None:
                self.take_all(scope, ())
                await self._settle(scope)

            async def dispatch() -> None:
                queue, scope.events = scope.events, None
                await self.dispatch(queue.raised if queue is not None else ())

            scope.uow.before_commit(settle)
            scope.uow.on_commit(dispatch)

    async def commit(self, scope: Scope) -> Sequence[Any]:
        """Handle and store the events of ``scope``, commit, and return the events."""
        if scope.events is not None:
            await self._settle(scope)
        hooks = get_hook_registry()
        if hooks.active:
            await hooks.execute_all("uow.commit", {}, scope.uow.commit)
        else:
            await scope.uow.commit()
        scope.uow.committing = True  # for a mediator it is the last one: see checkpoint
        queue, scope.events = scope.events, None
        return queue.raised if queue is not None else ()

    async def checkpoint(self, scope: Scope) -> Sequence[Any]:
        """Commit what a streaming handler has done up to here, and return the events."""
        self.take_all(scope, ())
        raised = await self.commit(scope)
        scope.uow.committing = False  # the stream goes on
        return raised

    async def _settle(self, scope: Scope) -> None:
        """Run in-transaction handlers until no event is left, then save all events."""
        if scope.events is None:
            return
        root, handled = scope.message_id, True
        while handled:
            handled = False
            while (event := _queue_of(scope).next()) is not None:
                for name, invoke in self._handlers_of(event):
                    handled, scope.message_id = True, str(event_id_of(event))
                    await observed_handling(event, name, invoke)
                    self.take(scope, ())
            scope.message_id = root
            if handled:
                self.take_all(scope, ())
        for sink in self._sinks:
            await sink.save_events(_queue_of(scope).raised, scope.uow)

    async def dispatch(self, events: Sequence[Any]) -> None:
        """Hand committed events to their AFTER_COMMIT handlers."""
        if events:
            await self._dispatcher.dispatch(events)

    def _handlers_of(self, event: object) -> list[tuple[str, Invoke]]:
        event_type = type(event)
        found = self._in_transaction.get(event_type)
        if found is None:
            found = self._in_transaction[event_type] = [
                (registration.name, invoker(registration, self._handlers))
                for registration in self._registry.event_handlers(
                    event_type, EventPhase.IN_TRANSACTION
                )
            ]
        return found

    def _adopt_handlers(self) -> None:
        """Give the dispatcher the AFTER_COMMIT handlers registered since the last time."""
        self._in_transaction.clear()
        for event_type, phase, registration in self._registry.events[self._known :]:
            if phase is EventPhase.AFTER_COMMIT:
                self._dispatcher.register(
                    event_type,
                    registration.handler,
                    in_thread=registration.in_thread,
                    factory=self._handlers,
                )
        self._known = len(self._registry.events)


def _queue_of(scope: Scope) -> EventQueue:
    """Return the queue of the moment: a savepoint that fails brings an earlier one back."""
    assert scope.events is not None
    return scope.events
