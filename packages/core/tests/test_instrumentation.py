"""Hooks: they look on at what happens, from every task, and change nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest

from cqrs_ddd_core import (
    Command,
    CommandResponse,
    DomainEvent,
    EventPhase,
    HandlerRegistry,
    HookRegistry,
    InMemoryUnitOfWork,
    InstrumentationHook,
    Mediator,
    Query,
    get_hook_registry,
    set_hook_registry,
)


class Greet(Command[str]):
    fail: bool = False


class GreetTwice(Command[None]):
    pass


class Ask(Query[int]):
    pass


class Greeted(DomainEvent):
    pass


class Recorder:
    """A hook that writes down operations as they begin and end."""

    def __init__(self, name: str = "") -> None:
        self.name, self.log, self.attributes = name, list[str](), dict[str, Mapping[str, Any]]()

    async def __call__(self, operation: str, attributes: Mapping[str, Any], next_step: Any) -> Any:
        self.log.append(f"{self.name}{operation}")
        self.attributes[operation] = attributes
        return await next_step()


@pytest.fixture(autouse=True)
def hooks() -> Iterator[HookRegistry]:
    """Give each test hooks of its own."""
    registry = HookRegistry()
    previous = set_hook_registry(registry)
    yield registry
    set_hook_registry(previous)


@pytest.fixture
def units() -> list[InMemoryUnitOfWork]:
    return []


@pytest.fixture
def mediator(units: list[InMemoryUnitOfWork]) -> Mediator:
    registry = HandlerRegistry()

    async def greet(command: Greet) -> CommandResponse[str]:
        if command.fail:
            raise LookupError("nobody there")
        return CommandResponse("hello", events=[Greeted()])

    async def greet_twice(command: GreetTwice) -> None:
        await mediator.send(Greet())
        await mediator.send(Greet())

    async def ask(query: Ask) -> int:
        return 42

    async def numbers(query: Ask) -> AsyncIterator[int]:
        yield 1

    async def before(event: Greeted) -> None: ...

    async def after(event: Greeted) -> None: ...

    def open_unit() -> InMemoryUnitOfWork:
        units.append(InMemoryUnitOfWork())
        return units[-1]

    registry.register_command_handler(Greet, greet)
    registry.register_command_handler(GreetTwice, greet_twice)
    registry.register_query_handler(Ask, ask)
    registry.register_stream_handler(Ask, numbers)
    registry.register_event_handler(Greeted, before, phase=EventPhase.IN_TRANSACTION)
    registry.register_event_handler(Greeted, after)
    mediator = Mediator(registry, open_unit)
    return mediator


async def test_every_step_of_a_command_is_an_operation(
    hooks: HookRegistry, mediator: Mediator
) -> None:
    recorder = Recorder()
    hooks.register(recorder)
    await mediator.send(Greet())
    assert recorder.log == [
        "command.Greet",
        "event.handler.Greeted",
        "uow.commit",
        "event.handler.Greeted",
    ]


async def test_nested_commands_queries_streams_and_publishing_are_operations_too(
    hooks: HookRegistry, mediator: Mediator
) -> None:
    recorder = Recorder()
    hooks.register(recorder, operations=["command.*", "query.*", "stream.*", "event.publish.*"])
    await mediator.send(GreetTwice())
    await mediator.query(Ask())
    assert [item async for item in mediator.stream(Ask())] == [1]
    await mediator.publish(Greeted())
    nested = ["command.GreetTwice", "command.Greet", "command.Greet"]
    assert recorder.log == [*nested, "query.Ask", "stream.Ask", "event.publish.Greeted"]


async def test_a_published_event_is_seen_with_its_handlers_and_its_commit(
    hooks: HookRegistry, mediator: Mediator
) -> None:
    recorder = Recorder()
    hooks.register(recorder)
    event = Greeted()
    await mediator.publish(event)
    assert recorder.log == [
        "event.publish.Greeted",
        "event.handler.Greeted",
        "uow.commit",
        "event.handler.Greeted",
    ]
    about = recorder.attributes["event.publish.Greeted"]
    assert (about["message_type"], about["message.type"]) == (Greeted, "Greeted")
    assert about["message.id"] == event.event_id


async def test_an_event_published_by_a_handler_is_seen_inside_its_command(
    hooks: HookRegistry,
) -> None:
    class Tell(Command[None]):
        pass

    async def tell(_: Tell) -> None:
        await mediator.publish(Greeted())

    recorder = Recorder()
    registry = HandlerRegistry()
    registry.register_command_handler(Tell, tell)
    mediator = Mediator(registry, InMemoryUnitOfWork)
    hooks.register(recorder, operations=["command.*", "event.publish.*", "uow.*"])
    await mediator.send(Tell())
    assert recorder.log == ["command.Tell", "event.publish.Greeted", "uow.commit"]


async def test_an_operation_says_which_message_it_is_about(
    hooks: HookRegistry, mediator: Mediator
) -> None:
    recorder = Recorder()
    hooks.register(recorder)
    command, query = Greet(), Ask()
    await mediator.send(command)
    await mediator.query(query)
    about = recorder.attributes["command.Greet"]
    assert (about["message_type"], about["message.type"]) == (Greet, "Greet")
    assert about["message.id"] == command.command_id
    assert recorder.attributes["query.Ask"]["message.id"] == query.query_id
    handling = recorder.attributes["event.handler.Greeted"]
    assert handling["event.type"] == "Greeted"
    assert handling["handler"].endswith("after")


async def test_a_hook_registered_in_a_start_up_task_is_seen_in_every_other(
    hooks: HookRegistry, mediator: Mediator
) -> None:
    recorder = Recorder()

    async def start_up() -> None:
        get_hook_registry().register(recorder, operations=["command.*"])

    async def request() -> None:
        await mediator.send(Greet())

    await asyncio.create_task(start_up())
    await asyncio.gather(request(), request())
    assert recorder.log == ["command.Greet"] * 2


async def test_the_lowest_priority_is_outermost(hooks: HookRegistry) -> None:
    log: list[str] = []

    def hook(name: str) -> InstrumentationHook:
        async def look(operation: str, attributes: Mapping[str, Any], next_step: Any) -> Any:
            log.append(f"{name} in")
            result = await next_step()
            log.append(f"{name} out")
            return result

        return look

    hooks.register(hook("inner"), priority=5)
    hooks.register(hook("outer"), priority=-5)
    hooks.register(hook("middle"))
    assert await hooks.execute_all("work", {}, done) == "done"
    assert log == ["outer in", "middle in", "inner in", "inner out", "middle out", "outer out"]


async def done() -> str:
    return "done"


async def test_a_hook_sees_only_the_operations_it_asked_for(hooks: HookRegistry) -> None:
    recorder = Recorder()
    hooks.register(recorder, operations=["command.*", "uow.commit"])
    for operation in ("command.A", "query.A", "uow.commit", "uow.rollback"):
        await hooks.execute_all(operation, {}, done)
    assert recorder.log == ["command.A", "uow.commit"]


async def test_a_hook_sees_only_the_messages_it_asked_for(
    hooks: HookRegistry, mediator: Mediator
) -> None:
    recorder = Recorder()
    hooks.register(recorder, message_types=[Command, Greeted])
    await mediator.send(Greet())
    await mediator.query(Ask())
    assert recorder.log == ["command.Greet", *["event.handler.Greeted"] * 2]


async def test_a_predicate_decides_by_operation_and_attributes(hooks: HookRegistry) -> None:
    recorder = Recorder()
    hooks.register(recorder, predicate=lambda operation, attributes: attributes["size"] > 1)
    await hooks.execute_all("small", {"size": 1}, done)
    await hooks.execute_all("large", {"size": 2}, done)
    assert recorder.log == ["large"]


async def test_a_hook_can_be_switched_off_and_taken_out(hooks: HookRegistry) -> None:
    recorder = Recorder()
    registration = hooks.register(recorder, enabled=False)
    await hooks.execute_all("first", {}, done)
    registration.enabled = True
    await hooks.execute_all("second", {}, done)
    assert hooks.active
    registration.remove()
    registration.remove()
    await hooks.execute_all("third", {}, done)
    assert recorder.log == ["second"]
    assert not hooks.active


async def test_a_failing_hook_is_logged_and_changes_nothing(
    hooks: HookRegistry, mediator: Mediator, caplog: pytest.LogCaptureFixture
) -> None:
    async def before(operation: str, attributes: Mapping[str, Any], next_step: Any) -> Any:
        raise OSError("collector is down")

    async def after(operation: str, attributes: Mapping[str, Any], next_step: Any) -> Any:
        await next_step()
        raise OSError("collector went down")

    recorder = Recorder()
    for hook in (before, after, recorder):
        hooks.register(hook)
    response = await mediator.send(Greet())
    assert response.result == "hello"
    assert recorder.log.count("command.Greet") == 1
    assert "An instrumentation hook failed around command.Greet" in caplog.text
    assert "collector is down" in caplog.text
    assert "collector went down" in caplog.text


async def test_an_error_of_the_operation_passes_through_even_a_hook_that_hides_it(
    hooks: HookRegistry, mediator: Mediator, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    async def hide(operation: str, attributes: Mapping[str, Any], next_step: Any) -> Any:
        try:
            return await next_step()
        except LookupError as error:
            seen.append(str(error))
            return None

    async def replace(operation: str, attributes: Mapping[str, Any], next_step: Any) -> Any:
        try:
            return await next_step()
        except LookupError as error:
            raise OSError("something else") from error

    hooks.register(hide, priority=1)
    hooks.register(replace, priority=2)
    with pytest.raises(LookupError, match="nobody there"):
        await mediator.send(Greet(fail=True))
    assert seen == ["nobody there"]


async def test_a_hook_can_neither_skip_nor_repeat_nor_replace_an_operation(
    hooks: HookRegistry,
) -> None:
    runs = 0

    async def work() -> int:
        nonlocal runs
        runs += 1
        return runs

    async def skip(operation: str, attributes: Mapping[str, Any], next_step: Any) -> Any:
        return "skipped"

    async def repeat(operation: str, attributes: Mapping[str, Any], next_step: Any) -> Any:
        await next_step()
        return await next_step() + 10

    hooks.register(skip)
    hooks.register(repeat)
    assert await hooks.execute_all("work", {}, work) == 1
    assert runs == 1


async def test_a_query_is_not_committed_when_somebody_looks_on(
    hooks: HookRegistry, mediator: Mediator, units: list[InMemoryUnitOfWork]
) -> None:
    recorder = Recorder()
    hooks.register(recorder)
    await mediator.query(Ask())
    assert not units[0].committed
    assert recorder.log == ["query.Ask"]


async def test_results_and_events_are_the_same_with_and_without_hooks(
    hooks: HookRegistry, mediator: Mediator
) -> None:
    plain = await mediator.send(Greet())
    hooks.register(Recorder())
    watched = await mediator.send(Greet())
    assert plain.result == watched.result
    assert [type(event) for event in plain.events] == [type(event) for event in watched.events]


def test_hooks_of_the_process_can_be_replaced_and_brought_back(hooks: HookRegistry) -> None:
    other = HookRegistry()
    assert set_hook_registry(other) is hooks
    assert get_hook_registry() is other
    assert set_hook_registry(hooks) is other


def test_a_cleared_registry_is_not_active(hooks: HookRegistry) -> None:
    hooks.register(Recorder())
    hooks.clear()
    assert not hooks.active


def test_a_hook_is_any_async_function_of_three_arguments() -> None:
    assert isinstance(Recorder(), InstrumentationHook)
