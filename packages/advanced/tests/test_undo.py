"""Undo and redo behind tokens."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cqrs_ddd_advanced_core.undo import (
    InMemoryUndoTokenRepository,
    NotUndoableError,
    UndoError,
    UndoExecutor,
    UndoExpiredError,
    UndoRegistry,
    UndoService,
    UndoStatusError,
    UndoTokenNotFoundError,
    UndoUnsafeError,
)
from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    DomainEvent,
    EventStorePersistenceMiddleware,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryEventStore,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    repository,
    use_clock,
)
from cqrs_ddd_core.testing import ManualClock

from .shop import elsewhere


class Rename(Command[None]):
    name: str


class Note(Command[None]):
    pass


class Renamed(DomainEvent):
    before: str
    after: str

    def undo_command(self) -> Rename:
        return Rename(name=self.before)

    def redo_command(self) -> Rename:
        return Rename(name=self.after)


class Noted(DomainEvent):
    pass


class Customer(AggregateRoot[str]):
    name: str

    def rename(self, name: str) -> None:
        self.add_event(Renamed(before=self.name, after=name))
        self.name = name


class Customers(InMemoryUnitOfWork):
    customers = repository(Customer)


class World:
    def __init__(self, **options: Any) -> None:
        database, registry = InMemoryDatabase(), HandlerRegistry()
        registry.register_command_handler(Rename, self.rename)
        registry.register_command_handler(Note, self.note)
        self.uow_factory = lambda: Customers(database)
        self.event_store = InMemoryEventStore()
        self.mediator = Mediator(
            registry,
            self.uow_factory,
            middleware_registry=MiddlewareRegistry(
                [EventStorePersistenceMiddleware(self.event_store)]
            ),
        )
        self.tokens = InMemoryUndoTokenRepository()
        self.undo_service = UndoService(
            event_store=self.event_store, repository=self.tokens, **options
        )
        self.executor = UndoExecutor(self.mediator, self.event_store)
        self.ids: list[str] = []

    async def rename(self, command: Rename, uow: Customers) -> None:
        self.ids.append(command.command_id)
        (await uow.customers.require("c-1")).rename(command.name)

    async def note(self, command: Note, uow: Customers) -> None:
        (await uow.customers.require("c-1")).add_event(Noted())

    async def renamed(self, name: str) -> str:
        response = await self.mediator.send(Rename(name=name))
        token = await self.undo_service.create_token(
            aggregate_id="c-1", aggregate_type="Customer", events=response.events
        )
        return token.token_id

    async def name(self) -> str:
        async with self.uow_factory() as uow:
            return (await uow.customers.require("c-1")).name


@pytest.fixture(autouse=True)
def clock() -> Iterator[ManualClock]:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with use_clock(clock):
        yield clock


async def opened(**options: Any) -> World:
    world = World(**options)
    async with world.uow_factory() as uow:
        await uow.customers.add(Customer(id="c-1", name="Ada"))
    return world


async def test_what_was_done_is_undone_and_redone_again_and_again() -> None:
    world = await opened()
    token = await world.renamed("Eve")
    for _ in range(2):
        await world.executor.undo(token)
        assert await world.name() == "Ada"
        await world.executor.redo(token)
        assert await world.name() == "Eve"
    assert len(set(world.ids)) == 5


async def test_a_token_is_used_once_a_step() -> None:
    world = await opened()
    token = await world.renamed("Eve")
    with pytest.raises(UndoStatusError, match="redone"):
        await world.executor.redo(token)
    await world.executor.undo(token)
    with pytest.raises(UndoStatusError, match="undone"):
        await world.executor.undo(token)


async def test_two_undos_at_once_undo_once() -> None:
    world = await opened()
    token = await world.renamed("Eve")
    outcomes = await asyncio.gather(
        *(world.executor.undo(token) for _ in range(3)), return_exceptions=True
    )
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1
    assert await world.name() == "Ada"


async def test_what_came_after_makes_it_unsafe() -> None:
    world = await opened()
    first = await world.renamed("Eve")
    second = await world.renamed("Bob")
    with pytest.raises(UndoUnsafeError) as caught:
        await world.executor.undo(first)
    assert caught.value.later_events == ["Renamed"]
    assert await world.name() == "Bob"
    await world.executor.undo(second)
    assert await world.name() == "Eve"


async def test_what_comes_in_the_very_moment_makes_it_unsafe_too() -> None:
    world = await opened()
    token = await world.renamed("Eve")
    rename = world.rename

    async def slow(command: Rename, uow: Customers) -> None:
        await elsewhere(_send(world, Note()))  # before the aggregate is loaded
        await rename(command, uow)

    del world.mediator.registry.commands[Rename]
    world.mediator.registry.register_command_handler(Rename, slow)
    with pytest.raises(UndoUnsafeError):
        await world.executor.undo(token)
    assert await world.name() == "Eve"


async def _send(world: World, command: Any) -> None:
    await world.mediator.send(command)


async def test_harmless_events_may_come_after() -> None:
    world = await opened(harmless=[Noted])
    token = await world.renamed("Eve")
    await world.mediator.send(Note())
    await world.executor.undo(token)
    assert await world.name() == "Ada"


async def test_a_token_expires(clock: ManualClock) -> None:
    world = await opened(ttl=timedelta(minutes=5))
    token = await world.renamed("Eve")
    clock.advance(300)
    with pytest.raises(UndoExpiredError):
        await world.executor.undo(token)
    assert await world.tokens.purge(timedelta(hours=1)) == 0
    clock.advance(3601)
    assert await world.tokens.purge(timedelta(hours=1)) == 1
    with pytest.raises(UndoTokenNotFoundError):
        await world.executor.undo(token)


async def test_events_without_a_reverse_get_no_token() -> None:
    world = await opened()
    response = await world.mediator.send(Note())
    with pytest.raises(NotUndoableError) as caught:
        await world.undo_service.create_token("c-1", "Customer", response.events)
    assert caught.value.event_types == ["Noted"]
    with pytest.raises(NotUndoableError):
        await world.undo_service.create_token("c-1", "Customer", [])


async def test_events_that_are_not_recorded_get_no_token() -> None:
    world = await opened()
    event = Renamed(aggregate_id="c-1", before="a", after="b")
    with pytest.raises(NotUndoableError, match="Customer/c-1"):
        await world.undo_service.create_token("c-1", "Customer", [event])


async def test_a_registered_reversal_goes_first_and_may_have_no_redo() -> None:
    reversals = UndoRegistry()
    reversals.register(Renamed, undo=lambda event: Rename(name=f"not {event.after}"))
    world = await opened(registry=reversals)
    token = await world.renamed("Eve")
    await world.executor.undo(token)
    assert await world.name() == "not Eve"
    with pytest.raises(UndoStatusError, match="without a command"):
        await world.executor.redo(token)


async def test_an_executor_needs_a_service_on_its_event_store() -> None:
    world = await opened()
    with pytest.raises(UndoError, match="UndoService"):
        UndoExecutor(world.mediator, InMemoryEventStore())
