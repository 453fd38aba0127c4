"""What sending a message costs over calling its handler."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import Pair, case
from cqrs_ddd_core import (
    Command,
    CommandOf,
    CommandResponse,
    DomainEvent,
    EventPhase,
    HandlerRegistry,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    Query,
)

_CALLS = 20_000


class Place(Command[str]):
    """A command of pydantic."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Ship(CommandOf[str]):
    """A command as a dataclass."""

    order_id: str


class Find(Query[str]):
    """A query."""

    order_id: str


class Placed(DomainEvent):
    """An event."""


async def place(command: Place) -> CommandResponse[str]:
    """Do nothing."""
    return CommandResponse(command.order_id)


async def ship(command: Ship) -> CommandResponse[str]:
    """Do nothing."""
    return CommandResponse(command.order_id)


async def find(query: Find) -> str:
    """Do nothing."""
    return query.order_id


class PassThrough:
    """A middleware that only passes on."""

    async def __call__(self, message: Any, next_handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """Pass on."""
        return await next_handler(message)


def _mediator(*middlewares: Any) -> Mediator:
    registry = HandlerRegistry()
    registry.register_command_handler(Place, place)
    registry.register_command_handler(Ship, ship)
    registry.register_query_handler(Find, find)
    return Mediator(
        registry, InMemoryUnitOfWork, middleware_registry=MiddlewareRegistry(middlewares)
    )


_handlers: dict[type, Callable[[Any], Awaitable[Any]]] = {Place: place, Ship: ship, Find: find}


def _pair(mediator: Mediator, message: Any) -> Pair:
    async def ours() -> int:
        for _ in range(_CALLS):
            await mediator.send(message)
        return _CALLS

    async def twin() -> int:
        for _ in range(_CALLS):
            await _handlers[type(message)](message)
        return _CALLS

    return Pair(ours, twin)


@case("mediator", "mediator.send", unit="µs", better="lower")
async def send() -> AsyncGenerator[Pair, Any]:
    """No middleware, in-memory unit of work, beside a bare call through a dict."""
    yield _pair(_mediator(), Place(order_id="o-1"))


@case("mediator", "mediator.send.dataclass", unit="µs", better="lower")
async def send_dataclass() -> AsyncGenerator[Pair, Any]:
    """The same with a dataclass."""
    yield _pair(_mediator(), Ship("o-1"))


@case("mediator", "mediator.query", unit="µs", better="lower")
async def query() -> AsyncGenerator[Pair, Any]:
    """A query."""
    yield _pair(_mediator(), Find(order_id="o-1"))


@case("mediator", "mediator.send.one_middleware", unit="µs", better="lower")
async def send_with_middleware() -> AsyncGenerator[Pair, Any]:
    """One middleware; the twin is the same without it plus nothing: read the difference."""
    yield _pair(_mediator(PassThrough()), Place(order_id="o-1"))


@case("mediator", "mediator.send.one_event_two_handlers", unit="µs", better="lower")
async def send_with_event() -> AsyncGenerator[Pair, Any]:
    """One event with a handler in the transaction and one behind it; the twin calls them."""
    registry = HandlerRegistry()
    event = Placed(aggregate_id="o-1")
    calls = 0

    async def place_with_event(command: Place) -> CommandResponse[str]:
        return CommandResponse(command.order_id, events=[event])

    async def react(_: Placed) -> None:
        nonlocal calls
        calls += 1

    async def tell(_: Placed) -> None:
        nonlocal calls
        calls += 1

    registry.register_command_handler(Place, place_with_event)
    registry.register_event_handler(Placed, react, phase=EventPhase.IN_TRANSACTION)
    registry.register_event_handler(Placed, tell)
    mediator = Mediator(registry, InMemoryUnitOfWork)
    message = Place(order_id="o-1")

    async def ours() -> int:
        for _ in range(_CALLS):
            await mediator.send(message)
        return _CALLS

    async def twin() -> int:
        for _ in range(_CALLS):
            response = await place_with_event(message)
            for raised in response.events:
                await react(raised)
                await asyncio.create_task(tell(raised))
        return _CALLS

    yield Pair(ours, twin)
