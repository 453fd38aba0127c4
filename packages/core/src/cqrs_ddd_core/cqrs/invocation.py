"""Turns a registered handler into one function of the message, decided once per handler."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from cqrs_ddd_core.cqrs.registration_checks import callable_of, wants_unit_of_work
from cqrs_ddd_core.cqrs.registry import Registration
from cqrs_ddd_core.cqrs.scope import current_scope, get_current_uow
from cqrs_ddd_core.ports.handler_factory import IHandlerFactory, IHandlerScope

H = TypeVar("H")
Invoke = Callable[[Any], Awaitable[Any]]


class ConstructingHandlerFactory:
    """Makes handlers by calling ``construct`` with their class; with no argument by default.

    Example:
        >>> class Handler:
        ...     def __init__(self, greeting: str) -> None:
        ...         self.greeting = greeting
        >>> factory = ConstructingHandlerFactory(lambda handler_type: handler_type("Hello"))
        >>> asyncio.run(factory.resolve(Handler)).greeting
        'Hello'
    """

    def __init__(self, construct: Callable[[type[Any]], Any] = lambda cls: cls()) -> None:
        self._construct = construct

    async def resolve(self, handler_type: type[H]) -> H:
        """Return a new handler of this class."""
        return self._construct(handler_type)

    @asynccontextmanager
    async def open_scope(self) -> AsyncGenerator[IHandlerScope]:
        """Return itself: what it makes needs no end."""
        yield self


def invoker(registration: Registration, factory: IHandlerFactory) -> Invoke:
    """Return a coroutine function that has this handler handle a message."""
    handler = registration.handler
    with_uow = wants_unit_of_work(handler)
    if inspect.isclass(handler):
        return _resolving(handler, factory, registration, with_uow=with_uow)
    return _calling(callable_of(handler), registration, with_uow=with_uow)


def _calling(function: Any, registration: Registration, *, with_uow: bool) -> Invoke:
    if not inspect.iscoroutinefunction(function) and not _returns_awaitable(function):
        function = _as_async(function, in_thread=registration.in_thread)
    if with_uow:
        return lambda message: function(message, get_current_uow())
    return function


def _returns_awaitable(function: Any) -> bool:
    """Whether ``function`` is an object whose call is a coroutine function."""
    return inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _as_async(function: Any, *, in_thread: bool) -> Any:
    async def call_in_thread(*arguments: Any) -> Any:
        return await asyncio.to_thread(function, *arguments)

    async def call(*arguments: Any) -> Any:
        result = function(*arguments)
        return await result if inspect.isawaitable(result) else result

    return call_in_thread if in_thread else call


def _resolving(
    handler_type: type[Any], factory: IHandlerFactory, registration: Registration, *, with_uow: bool
) -> Invoke:
    async def resolve_and_call(message: Any) -> Any:
        async with AsyncExitStack() as own:
            handlers = await handler_scope(factory, own)
            handler = await handlers.resolve(handler_type)
            return await _calling(handler.handle, registration, with_uow=with_uow)(message)

    return resolve_and_call


def stream_opener(
    registration: Registration, factory: IHandlerFactory
) -> Callable[[Any], Awaitable[AsyncIterator[Any]]]:
    """Return a coroutine function that starts this streaming handler on a message."""
    handler = registration.handler
    with_uow = wants_unit_of_work(handler)

    async def open_stream(message: Any) -> AsyncIterator[Any]:
        function: Any = callable_of(handler)
        if inspect.isclass(handler):
            handlers = await handler_scope(factory, AsyncExitStack())
            resolved: Any = await handlers.resolve(handler)
            function = resolved.handle
        return function(message, get_current_uow()) if with_uow else function(message)

    return open_stream


async def handler_scope(factory: IHandlerFactory, own: AsyncExitStack) -> IHandlerScope:
    """Return the factory's scope of the running unit of work; without one, a scope in ``own``."""
    scope = current_scope()
    if scope is None:
        return await own.enter_async_context(factory.open_scope())
    if scope.handlers is None:
        scope.handlers = await scope.exits.enter_async_context(factory.open_scope())
    return scope.handlers
