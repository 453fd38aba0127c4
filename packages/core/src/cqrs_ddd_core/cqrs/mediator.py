"""Takes messages to their handlers, each root message in a unit of work of its own."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, overload

from cqrs_ddd_core.cqrs.context import get_causation_id
from cqrs_ddd_core.cqrs.errors import HandlerNotFoundError, HandlerRegistrationError
from cqrs_ddd_core.cqrs.event_dispatcher import EventDispatcher, observed_handling
from cqrs_ddd_core.cqrs.events_in_scope import EventsInScope
from cqrs_ddd_core.cqrs.handler import EventPhase
from cqrs_ddd_core.cqrs.instrumentation import get_hook_registry
from cqrs_ddd_core.cqrs.invocation import (
    ConstructingHandlerFactory,
    Invoke,
    invoker,
    stream_opener,
)
from cqrs_ddd_core.cqrs.message import CommandOf, QueryOf, message_id_of
from cqrs_ddd_core.cqrs.pipeline import Pipeline, surrounds_unit_of_work, wrap
from cqrs_ddd_core.cqrs.registry import HandlerRegistry, Registration
from cqrs_ddd_core.cqrs.response import (
    AnyCommandResponse,
    AnyQueryResponse,
    CommandResponse,
    QueryResponse,
)
from cqrs_ddd_core.cqrs.scope import Scope, current_scope, open_scope
from cqrs_ddd_core.cqrs.scope_errors import ReadOnlyUnitOfWorkError
from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.cqrs.streaming import StreamChannel
from cqrs_ddd_core.cqrs.unit_of_work import UnitOfWork
from cqrs_ddd_core.middleware.registry import MiddlewareRegistry
from cqrs_ddd_core.ports.handler_factory import IHandlerFactory
from cqrs_ddd_core.ports.middleware import IEventSink, IMiddleware
from cqrs_ddd_core.primitives.ids import new_id
from cqrs_ddd_core.primitives.message_context import current_context

_log = logging.getLogger(__name__)

R = TypeVar("R")


class Mediator:
    """Takes commands and queries to their handlers and events to theirs.

    A root command runs in a unit of work of its own, which is committed when the handler and all
    in-transaction event handlers have succeeded. A command sent while another is handled joins
    that one's. A query's unit of work is never committed.

    Args:
        registry: the handlers; checked here.
        uow_factory: opens a unit of work.
        middleware_registry: what stands around the handlers.
        event_dispatcher: runs AFTER_COMMIT handlers; give one to bound or to watch them.
        handler_factory: makes handlers that were registered as classes.
        max_event_depth: how many events may follow from one another before it counts as a cycle.

    Raises:
        HandlerRegistrationError: the registered handlers cannot work.

    Example:
        >>> from cqrs_ddd_core import Command, InMemoryUnitOfWork
        >>> class Greet(Command[str]):
        ...     name: str
        >>> async def greet(command: Greet) -> str:
        ...     return f"Hello {command.name}"
        >>> registry = HandlerRegistry()
        >>> registry.register_command_handler(Greet, greet)
        >>> mediator = Mediator(registry, InMemoryUnitOfWork)
        >>> asyncio.run(mediator.send(Greet(name="Ada"))).result
        'Hello Ada'
    """

    def __init__(
        self,
        registry: HandlerRegistry,
        uow_factory: Callable[[], UnitOfWork],
        *,
        middleware_registry: MiddlewareRegistry | None = None,
        event_dispatcher: EventDispatcher | None = None,
        handler_factory: IHandlerFactory | None = None,
        max_event_depth: int = 64,
    ) -> None:
        middlewares = (middleware_registry or MiddlewareRegistry()).get_ordered_middlewares()
        self._registry, self._uow_factory = registry, uow_factory
        self._handlers: IHandlerFactory = handler_factory or ConstructingHandlerFactory()
        self._around = [m for m in middlewares if surrounds_unit_of_work(m)]
        self._inside = [
            m for m in middlewares if isinstance(m, IMiddleware) and not surrounds_unit_of_work(m)
        ]
        self._stream_checks = [m.check_stream for m in middlewares if hasattr(m, "check_stream")]
        self._sinks = [m for m in middlewares if isinstance(m, IEventSink)]
        self._events = EventsInScope(
            registry,
            self._handlers,
            event_dispatcher or EventDispatcher(),
            self._sinks,
            max_event_depth,
        )
        self._pipelines: dict[type, Pipeline] = {}
        self._reactions: dict[tuple[int, bool], Invoke] = {}  # the registry keeps the handlers
        self._check()
        registry.on_change(self._pipelines.clear)
        registry.on_change(self._reactions.clear)

    @property
    def registry(self) -> HandlerRegistry:
        """The handlers."""
        return self._registry

    @property
    def event_sinks(self) -> Sequence[IEventSink]:
        """What saves the events of a unit of work: the outbox, an event store."""
        return self._sinks

    # -- sending ---------------------------------------------------------------------------------

    @overload
    async def send(
        self, message: CommandOf[R], /, *, savepoint: bool = False
    ) -> CommandResponse[R]: ...
    @overload
    async def send(
        self, message: QueryOf[R], /, *, savepoint: bool = False
    ) -> QueryResponse[R]: ...
    @overload
    async def send(self, message: Any, /, *, savepoint: bool = False) -> Any: ...
    async def send(self, message: object, /, *, savepoint: bool = False) -> Any:
        """Have ``message``, a command or a query, handled and return the response.

        Args:
            message: an instance of a registered class.
            savepoint: inside another command, undo just what this one did when it fails, so
                that the outer one may catch the error and go on.

        Raises:
            HandlerNotFoundError: nobody handles this type.
            ConcurrencyError: somebody else changed an aggregate first.
            Exception: whatever the handler, an in-transaction event handler or a middleware
                raised; everything is rolled back then.
        """
        pipeline = self._pipelines.get(type(message)) or self._compile(type(message))
        if savepoint:
            async with self._savepoint():
                return await self._enter(pipeline, message)
        if pipeline.around is not None or get_hook_registry().active:
            return await self._enter(pipeline, message)
        scope = current_scope()
        if scope is None:
            return await self._run_as_root(pipeline, message, message_id_of(message))
        return await self._join(scope, pipeline, message, message_id_of(message))

    async def query(self, query: QueryOf[R], /) -> QueryResponse[R]:
        """Answer ``query``; its unit of work is read-only and never committed."""
        return await self.send(query)

    @overload
    def stream(self, message: CommandOf[R] | QueryOf[R], /) -> AsyncGenerator[R]: ...
    @overload
    def stream(self, message: Any, /) -> AsyncGenerator[Any]: ...
    def stream(self, message: object, /) -> AsyncGenerator[Any]:
        """Yield the items of a streaming handler as it produces them.

        The handler runs in a task and a unit of work of its own and goes on only when the next
        item is asked for. For a command, each item is committed with the events raised before
        it, and then handed out; what the handler does after its last item is committed at the
        end. Leaving the loop early closes the handler and undoes what was not committed; wrap
        the call into ``contextlib.aclosing`` to have that done at once.

        Raises:
            HandlerNotFoundError: nobody streams this type.
            CQRSDDDError: a middleware cannot stand around the stream of this message.
        """
        registration = self._registry.streams.get(type(message))
        if registration is None:
            raise HandlerNotFoundError(type(message), "stream", self._registry.streams)
        for check in self._stream_checks:
            check(message)
        read_only = isinstance(message, QueryOf)
        opener = stream_opener(registration, self._handlers)
        channel = StreamChannel(opener, self._events, read_only=read_only)

        async def produce(passed: Any) -> None:
            await channel.produce(passed, open_scope())

        operation = f"stream.{type(message).__name__}"
        pipeline = self._pipeline(operation, produce, read_only=read_only)
        return channel.items(lambda: self._enter(pipeline, message))

    async def publish(self, event: Any, /) -> None:
        """Have ``event`` handled as if a command had raised it.

        Inside a unit of work it joins the events of that one. Outside, it gets one of its own, with
        in-transaction handlers, event sinks and a commit.
        """
        hooks = get_hook_registry()
        if hooks.active:
            attributes = _attributes_of(event, getattr(event, "event_id", None))
            operation = f"event.publish.{type(event).__name__}"
            await hooks.execute_all(operation, attributes, lambda: self._publish(event))
        else:
            await self._publish(event)

    async def _publish(self, event: Any) -> None:
        scope = current_scope()
        if scope is None:
            pipeline = Pipeline(f"event.publish.{type(event).__name__}", _raise, read_only=False)
            await self._run_as_root(pipeline, event, get_causation_id())
            return
        if scope.uow.read_only:
            raise ReadOnlyUnitOfWorkError(f"publish {type(event).__name__}")
        self._events.adopt(scope)
        self._events.take(scope, [event])

    def unit_of_work(self) -> UnitOfWork:
        """Return a new unit of work, for who handles several messages in one: see ``react``."""
        return self._uow_factory()

    async def react(self, event: Any, handler: Registration, /, *, message_id: str) -> None:
        """Have one handler react to an event that is true already, in the open unit of work.

        What it changes and raises is saved when whoever opened that commits. This is how DURABLE
        handlers run.

        Args:
            event: what happened.
            handler: one of the registered ones.
            message_id: of the message that told of it; the cause of whatever follows.

        Raises:
            NoUnitOfWorkError: none is open in this task.
        """
        place = (id(handler.handler), handler.in_thread)
        invoke = self._reactions.get(place)
        if invoke is None:
            invoke = self._reactions[place] = invoker(handler, self._handlers)

        async def handle(event: Any) -> None:
            await observed_handling(event, handler.name, invoke)

        pipeline = Pipeline(f"event.handler.{type(event).__name__}", handle, read_only=False)
        await self._join(open_scope(), pipeline, event, message_id)

    # -- the way of a message --------------------------------------------------------------------

    async def _enter(self, pipeline: Pipeline, message: object) -> Any:
        """Go through the hooks and the middleware around the unit of work."""
        run = pipeline.around or self._runner(pipeline)
        hooks = get_hook_registry()
        if not hooks.active:
            return await run(message)
        message_id = getattr(message, "command_id", getattr(message, "query_id", None))
        attributes = _attributes_of(message, message_id)
        return await hooks.execute_all(pipeline.operation, attributes, lambda: run(message))

    def _runner(self, pipeline: Pipeline) -> Invoke:
        return lambda message: self._run(pipeline, message)

    async def _run(self, pipeline: Pipeline, message: Any) -> Any:
        """Open a unit of work for ``message``, or join the one that is open in this task."""
        scope = current_scope()
        if scope is not None:
            return await self._join(scope, pipeline, message, message_id_of(message))
        return await self._run_as_root(pipeline, message, message_id_of(message))

    async def _run_as_root(self, pipeline: Pipeline, message: Any, message_id: str | None) -> Any:
        """Handle ``message`` in a unit of work of its own, commit, tell of its events."""
        outer = current_context.get()
        task = asyncio.current_task()
        read_only, uow = pipeline.read_only, self._uow_factory()
        uow.opened_by(task, read_only)
        correlation_id = getattr(message, "correlation_id", None) or (
            outer.correlation_id if outer is not None else None
        )
        scope = Scope(uow, task, correlation_id or message_id or new_id(), message_id)
        token = current_context.set(scope)
        events: Sequence[Any] = ()
        try:
            try:
                result = await pipeline.handle(message)
                response = self._response(scope, pipeline, result, self._events.take_all)
                if scope.events is not None or get_hook_registry().active:
                    events = () if read_only else await self._events.commit(scope)
                elif not read_only:
                    await uow.finish()
            except BaseException:
                await shielded(_abandon(scope))
                raise
            if not scope.close_at_once():
                await shielded(_finish(scope))
            if events:
                await self._events.dispatch(events)
        finally:
            current_context.reset(token)
        if outer is not None:
            response.causation_id = outer.message_id
        return response

    def _response(
        self, scope: Scope, pipeline: Pipeline, result: Any, take: Callable[..., list[Any]]
    ) -> Any:
        """Return the response of a handler and have ``take`` take the events it raised."""
        if pipeline.read_only:
            response = result if isinstance(result, AnyQueryResponse) else QueryResponse(result)
        else:
            response = result if isinstance(result, AnyCommandResponse) else CommandResponse(result)
            if response.events or scope.uow.has_tracked:
                response.events = [*scope.taken, *take(scope, response.events)]
        response.correlation_id = scope.correlation_id
        return response

    async def _join(
        self, scope: Scope, pipeline: Pipeline, message: Any, message_id: str | None
    ) -> Any:
        """Handle ``message`` in the open unit of work; its failure dooms that one."""
        if scope.uow.read_only and not pipeline.read_only:
            raise ReadOnlyUnitOfWorkError(f"send {type(message).__name__}")
        self._events.adopt(scope)
        self._events.take_early(scope)
        taken, scope.taken = scope.taken, ()
        cause, scope.message_id = scope.message_id, message_id
        try:
            result = await pipeline.handle(message)
            response = self._response(scope, pipeline, result, self._events.take)
        except BaseException as error:
            if not pipeline.read_only:
                scope.uow.doomed = scope.uow.doomed or error
            raise
        finally:
            scope.message_id, scope.taken = cause, taken
        response.causation_id = cause
        return response

    @asynccontextmanager
    async def _savepoint(self) -> AsyncGenerator[None]:
        """Undo what the block did, its events included, when it raises."""
        scope = current_scope()
        if scope is None:
            yield
            return
        self._events.take_early(scope)
        async with scope.uow.savepoint():
            yield

    # -- what is decided once --------------------------------------------------------------------

    def _compile(self, message_type: type) -> Pipeline:
        """Build the pipeline of a message type."""
        registration = self._registry.commands.get(message_type)
        read_only = registration is None
        registration = registration or self._registry.queries.get(message_type)
        if registration is None:
            kind = "query" if QueryOf in message_type.__mro__ else "command"
            known = [*self._registry.commands, *self._registry.queries]
            raise HandlerNotFoundError(message_type, kind, known)
        self._check()
        operation = f"{'query' if read_only else 'command'}.{message_type.__name__}"
        handle = invoker(registration, self._handlers)
        pipeline = self._pipeline(operation, handle, read_only=read_only)
        self._pipelines[message_type] = pipeline
        return pipeline

    def _pipeline(self, operation: str, handle: Invoke, *, read_only: bool) -> Pipeline:
        pipeline = Pipeline(operation, wrap(self._inside, handle), read_only=read_only)
        if self._around:
            pipeline.around = wrap(self._around, self._runner(pipeline))
        return pipeline

    def _check(self) -> None:
        """Refuse handlers that cannot work."""
        self._registry.validate()
        durable = self._registry.event_types(EventPhase.DURABLE)
        if durable and not self._events.has_outbox:
            raise HandlerRegistrationError(
                [
                    f"{event_type.__qualname__} has a DURABLE handler but there is no outbox; add "
                    "OutboxMiddleware(outbox) to the middleware registry."
                    for event_type in durable
                ]
            )


def _attributes_of(message: object, message_id: Any) -> dict[str, Any]:
    """Return what hooks are told of a message."""
    message_type = type(message)
    return {
        "message_type": message_type,
        "message.type": message_type.__name__,
        "message.id": message_id,
    }


async def _raise(event: Any) -> CommandResponse[None]:
    return CommandResponse(None, events=[event])


async def _finish(scope: Scope) -> None:
    """End a scope that has done its work; a failure now cannot undo it and goes to the log."""
    try:
        await scope.close()
    except Exception:  # noqa: BLE001 - the sender must not take the work for undone
        _log.exception("%s could not be ended; its work is done", type(scope.uow).__name__)


async def _abandon(scope: Scope) -> None:
    """Undo what was not committed and end the scope."""
    try:
        await scope.uow.rollback()
    finally:
        await scope.close()
