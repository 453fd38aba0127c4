"""Handlers as instances, classes and functions, and who makes those that are classes."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import pytest

from cqrs_ddd_core import (
    Command,
    CommandHandler,
    CommandResponse,
    ConstructingHandlerFactory,
    DomainEvent,
    EventHandler,
    EventPhase,
    ForeignTaskError,
    HandlerRegistry,
    IHandlerScope,
    InMemoryUnitOfWork,
    Mediator,
    Query,
    QueryHandler,
    QueryResponse,
    get_correlation_id,
    get_current_uow,
)

H = TypeVar("H")


class Greet(Command[str]):
    name: str = "Ada"


class AskName(Query[str]):
    pass


class Greeted(DomainEvent):
    pass


class GreetHandler(CommandHandler[str]):
    made = 0

    def __init__(self, greeting: str = "Hello") -> None:
        type(self).made += 1
        self.greeting = greeting

    async def handle(self, command: Greet) -> CommandResponse[str]:
        return CommandResponse(f"{self.greeting} {command.name}", events=[Greeted()])


async def send(handler: Any, **options: Any) -> Any:
    """Have one ``Greet`` handled by ``handler`` and return the result."""
    registry = HandlerRegistry()
    registry.register_command_handler(Greet, handler, **options)
    return (await Mediator(registry, InMemoryUnitOfWork).send(Greet())).result


async def test_a_handler_may_be_an_instance() -> None:
    assert await send(GreetHandler("Hi")) == "Hi Ada"


async def test_a_handler_class_is_made_anew_for_each_message() -> None:
    registry = HandlerRegistry()
    registry.register_command_handler(Greet, GreetHandler)
    mediator = Mediator(registry, InMemoryUnitOfWork)
    made = GreetHandler.made
    await mediator.send(Greet())
    assert (await mediator.send(Greet())).result == "Hello Ada"
    assert GreetHandler.made == made + 2


async def test_a_handler_may_be_a_function() -> None:
    async def greet(command: Greet) -> str:
        return f"Moin {command.name}"

    assert await send(greet) == "Moin Ada"


async def test_a_handler_may_be_a_bound_method_a_partial_or_a_callable_object() -> None:
    class Greeter:
        async def greet(self, command: Greet) -> str:
            return f"Salut {command.name}"

        async def __call__(self, command: Greet) -> str:
            return f"Ciao {command.name}"

    async def greet(greeting: str, command: Greet) -> str:
        return f"{greeting} {command.name}"

    assert await send(Greeter().greet) == "Salut Ada"
    assert await send(Greeter()) == "Ciao Ada"
    assert await send(partial(greet, "Hej")) == "Hej Ada"


async def test_a_synchronous_handler_runs_as_it_is() -> None:
    def greet(command: Greet) -> str:
        assert get_current_uow() is not None
        return threading.current_thread().name

    assert await send(greet) == threading.current_thread().name


async def test_a_synchronous_handler_may_run_in_a_worker_thread() -> None:
    def greet(command: Greet) -> str:
        assert get_correlation_id() == command.command_id
        return threading.current_thread().name

    assert await send(greet, in_thread=True) != threading.current_thread().name


async def test_a_worker_thread_cannot_reach_for_the_unit_of_work() -> None:
    def greet(command: Greet) -> str:
        with pytest.raises(ForeignTaskError, match="never shared"):
            get_current_uow()
        return "refused"

    assert await send(greet, in_thread=True) == "refused"


async def test_a_synchronous_function_that_returns_an_awaitable_is_awaited() -> None:
    async def greet(command: Greet) -> str:
        return "later"

    def begin(command: Greet) -> Awaitable[str]:
        return greet(command)

    assert await send(begin) == "later"


@pytest.mark.parametrize("form", ["function", "instance", "class", "synchronous"])
async def test_every_form_of_handler_is_handed_the_unit_of_work_if_it_likes(form: str) -> None:
    class WithUnit:
        async def handle(self, command: Greet, uow: InMemoryUnitOfWork) -> bool:
            return uow is get_current_uow()

    async def function(command: Greet, uow: InMemoryUnitOfWork) -> bool:
        return uow is get_current_uow()

    def synchronous(command: Greet, uow: InMemoryUnitOfWork) -> bool:
        return uow is get_current_uow()

    forms = {
        "function": function,
        "instance": WithUnit(),
        "class": WithUnit,
        "synchronous": synchronous,
    }
    assert await send(forms[form]) is True


async def test_an_optional_second_parameter_is_left_alone() -> None:
    async def greet(command: Greet, greeting: str = "Hello") -> str:
        return f"{greeting} {command.name}"

    assert await send(greet) == "Hello Ada"


class RecordingFactory:
    """Makes handlers with a scope of their own and writes down what happened to it."""

    def __init__(self, log: list[str]) -> None:
        self.log, self.open = log, 0

    @asynccontextmanager
    async def open_scope(self) -> AsyncGenerator[IHandlerScope]:
        self.open += 1
        self.log.append("scope opens")
        try:
            yield RecordingScope(self.log)
        finally:
            self.open -= 1
            self.log.append("scope ends")


class RecordingScope:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def resolve(self, handler_type: type[H]) -> H:
        make: Any = handler_type
        return make(self)


class LoggingUnitOfWork(InMemoryUnitOfWork):
    log: list[str]

    async def _commit(self) -> None:
        self.log.append("commit")
        await super()._commit()

    async def _rollback(self) -> None:
        self.log.append("rollback")
        await super()._rollback()


class ScopedHandler:
    """Remembers the scope that made it; all of one unit of work must have the same."""

    scopes: list[RecordingScope] = []

    def __init__(self, scope: RecordingScope) -> None:
        self.scopes.append(scope)
        self.log = scope.log


class World:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.factory = RecordingFactory(self.log)
        self.registry = HandlerRegistry()
        self.mediator = Mediator(self.registry, self.open, handler_factory=self.factory)
        ScopedHandler.scopes.clear()

    def open(self) -> LoggingUnitOfWork:
        uow = LoggingUnitOfWork()
        uow.log = self.log
        return uow


async def test_handlers_of_one_unit_of_work_come_from_one_scope_that_outlives_the_commit() -> None:
    world = World()

    class Outer(Command[None]):
        pass

    class OuterHandler(ScopedHandler):
        async def handle(self, command: Outer) -> CommandResponse[None]:
            self.log.append("outer")
            await world.mediator.send(Greet())
            return CommandResponse(None)

    class InnerHandler(ScopedHandler):
        async def handle(self, command: Greet) -> CommandResponse[str]:
            self.log.append("inner")
            return CommandResponse("", events=[Greeted()])

    class InTransaction(ScopedHandler):
        async def handle(self, event: Greeted) -> None:
            self.log.append("event")

    world.registry.register_command_handler(Outer, OuterHandler)
    world.registry.register_command_handler(Greet, InnerHandler)
    phase = EventPhase.IN_TRANSACTION
    world.registry.register_event_handler(Greeted, InTransaction, phase=phase)
    await world.mediator.send(Outer())
    assert world.log == ["scope opens", "outer", "inner", "event", "commit", "scope ends"]
    assert len(set(ScopedHandler.scopes)) == 1
    await world.mediator.send(Outer())
    assert len(set(ScopedHandler.scopes)) == 2


async def test_a_scope_ends_after_the_rollback_when_the_handler_fails() -> None:
    world = World()

    class FailingHandler(ScopedHandler):
        async def handle(self, command: Greet) -> CommandResponse[str]:
            raise ValueError(command.name)

    world.registry.register_command_handler(Greet, FailingHandler)
    with pytest.raises(ValueError, match="Ada"):
        await world.mediator.send(Greet())
    assert world.log == ["scope opens", "rollback", "scope ends"]


async def test_an_after_commit_handler_has_a_scope_of_its_own() -> None:
    world = World()

    async def greet(command: Greet) -> CommandResponse[str]:
        return CommandResponse("", events=[Greeted()])

    class AfterCommit(ScopedHandler):
        async def handle(self, event: Greeted) -> None:
            self.log.append("event")

    world.registry.register_command_handler(Greet, greet)
    world.registry.register_event_handler(Greeted, AfterCommit)
    await world.mediator.send(Greet())
    assert world.log == ["commit", "scope opens", "event", "scope ends"]


async def test_no_scope_is_opened_for_handlers_that_are_ready() -> None:
    world = World()
    world.registry.register_command_handler(Greet, GreetHandler())
    await world.mediator.send(Greet())
    assert world.log == ["commit"]


async def test_a_handler_that_cannot_be_made_fails_the_message_and_the_scope_ends() -> None:
    world = World()

    class Demanding(ScopedHandler):
        def __init__(self, scope: RecordingScope) -> None:
            raise LookupError("no database configured")

        async def handle(self, command: Greet) -> CommandResponse[str]:
            return CommandResponse("")

    world.registry.register_command_handler(Greet, Demanding)
    with pytest.raises(LookupError, match="no database configured"):
        await world.mediator.send(Greet())
    assert (world.log, world.factory.open) == (["scope opens", "rollback", "scope ends"], 0)


async def test_scopes_of_messages_handled_at_once_are_kept_apart() -> None:
    world, both = World(), asyncio.Barrier(2)

    class Waiting(ScopedHandler):
        async def handle(self, command: Greet) -> CommandResponse[str]:
            await both.wait()
            return CommandResponse("")

    world.registry.register_command_handler(Greet, Waiting)
    await asyncio.gather(world.mediator.send(Greet()), world.mediator.send(Greet()))
    assert len(set(ScopedHandler.scopes)) == 2
    assert world.factory.open == 0


async def test_the_simplest_factory_makes_handlers_by_calling_a_function() -> None:
    class NameHandler(QueryHandler[str]):
        def __init__(self, name: str) -> None:
            self.name = name

        async def handle(self, query: AskName) -> QueryResponse[str]:
            return QueryResponse(self.name)

    seen: list[str] = []

    class OnGreeted(EventHandler[Greeted]):
        def __init__(self, name: str) -> None:
            self.name = name

        async def handle(self, event: Greeted) -> None:
            seen.append(self.name)

    registry = HandlerRegistry()
    registry.register_query_handler(AskName, NameHandler)
    registry.register_command_handler(Greet, GreetHandler)
    registry.register_event_handler(Greeted, OnGreeted)
    factory = ConstructingHandlerFactory(lambda handler_type: handler_type("Ada"))
    mediator = Mediator(registry, InMemoryUnitOfWork, handler_factory=factory)
    assert (await mediator.query(AskName())).result == "Ada"
    assert (await mediator.send(Greet())).result == "Ada Ada"
    assert seen == ["Ada"]
