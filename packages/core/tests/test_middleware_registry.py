"""Middleware: in which order it stands, what it may do, and where."""

from collections.abc import Sequence
from typing import Any

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    CommandResponse,
    ConcurrencyError,
    DomainEvent,
    HandlerRegistry,
    IEventSink,
    IMiddleware,
    InMemoryDatabase,
    InMemoryUnitOfWork,
    LoggingMiddleware,
    Mediator,
    MiddlewareRegistry,
    NextHandler,
    NoUnitOfWorkError,
    OutboxMiddleware,
    Query,
    get_current_uow,
    repository,
)


class Note:
    """Writes down when a message goes in and how it comes out."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
        self.log.append(f"{self.name} in")
        try:
            response = await next_handler(message)
        except Exception as error:
            self.log.append(f"{self.name} saw {type(error).__name__}")
            raise
        self.log.append(f"{self.name} out")
        return response


class Around(Note):
    surrounds_unit_of_work = True


class Item(AggregateRoot[str]):
    changed: bool = False


class ItemUnitOfWork(InMemoryUnitOfWork):
    items = repository(Item)


class Added(DomainEvent):
    pass


class Add(Command[str]):
    name: str = "i-1"
    inner: bool = False


class AddTwice(Command[None]):
    pass


class Count(Query[int]):
    pass


def mediator_with(*middlewares: object) -> Mediator:
    database, registry = InMemoryDatabase(), HandlerRegistry()

    async def add(command: Add, uow: ItemUnitOfWork) -> CommandResponse[str]:
        await uow.items.add(Item(id=command.name))
        return CommandResponse(command.name, events=[Added()])

    async def add_twice(command: AddTwice) -> None:
        await mediator.send(Add(name="a"))
        await mediator.send(Add(name="b"))

    async def count(query: Count, uow: ItemUnitOfWork) -> int:
        return len(await uow.items.list_all())

    registry.register_command_handler(Add, add)
    registry.register_command_handler(AddTwice, add_twice)
    registry.register_query_handler(Count, count)
    mediator = Mediator(
        registry,
        lambda: ItemUnitOfWork(database),
        middleware_registry=MiddlewareRegistry(middlewares),
    )
    return mediator


@pytest.fixture
def log() -> list[str]:
    return []


def test_the_lowest_priority_is_outermost_and_equal_ones_keep_their_order() -> None:
    first, second, third, fourth = (Note(name, []) for name in "1234")
    middlewares = MiddlewareRegistry([second, third])
    middlewares.register(fourth, priority=20)
    middlewares.register(first, priority=-5)
    assert middlewares.get_ordered_middlewares() == [first, second, third, fourth]


def test_a_class_is_made_without_arguments() -> None:
    middlewares = MiddlewareRegistry()
    middlewares.register(LoggingMiddleware)
    assert isinstance(middlewares.get_ordered_middlewares()[0], LoggingMiddleware)


@pytest.mark.parametrize("wrong", [object(), "logging", 3, None])
def test_what_is_no_middleware_is_refused_with_the_fix(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"async def __call__\(self, message, next_handler\)"):
        MiddlewareRegistry([wrong])


def test_middleware_and_event_sinks_meet_their_protocols() -> None:
    assert isinstance(Note("note", []), IMiddleware)
    assert isinstance(OutboxMiddleware.__new__(OutboxMiddleware), IEventSink)


async def test_a_plain_function_is_a_middleware(log: list[str]) -> None:
    async def note(message: Any, next_handler: NextHandler) -> Any:
        log.append(type(message).__name__)
        return await next_handler(message)

    await mediator_with(note).send(Add())
    assert log == ["Add"]


async def test_messages_go_through_from_the_outside_in(log: list[str]) -> None:
    mediator = mediator_with(Note("outer", log), Note("inner", log))
    await mediator.send(Add())
    assert log == ["outer in", "inner in", "inner out", "outer out"]


async def test_queries_go_through_as_well(log: list[str]) -> None:
    await mediator_with(Note("note", log)).query(Count())
    assert log == ["note in", "note out"]


async def test_each_nested_command_goes_through_too(log: list[str]) -> None:
    await mediator_with(Note("note", log)).send(AddTwice())
    assert log == ["note in", *["note in", "note out"] * 2, "note out"]


async def test_a_middleware_may_answer_itself() -> None:
    class Answer:
        async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
            return CommandResponse("answered") if isinstance(message, Add) else await go(message)

    mediator = mediator_with(Answer())
    go = mediator.query
    assert (await mediator.send(Add())).result == "answered"


async def test_a_middleware_may_replace_message_and_response() -> None:
    class Rename:
        async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
            response = await next_handler(message.model_copy(update={"name": "renamed"}))
            return CommandResponse(f"<{response.result}>", events=response.events)

    response = await mediator_with(Rename()).send(Add())
    assert response.result == "<renamed>"
    assert [type(event) for event in response.events] == [Added]


async def test_middleware_inside_has_the_unit_of_work_and_middleware_around_has_not(
    log: list[str],
) -> None:
    class Inside:
        async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
            log.append(type(get_current_uow()).__name__)
            return await next_handler(message)

    class Outside:
        surrounds_unit_of_work = True

        async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
            with pytest.raises(NoUnitOfWorkError):
                get_current_uow()
            return await next_handler(message)

    await mediator_with(Inside(), Outside()).send(Add())
    assert log == ["ItemUnitOfWork"]


async def test_only_middleware_around_the_unit_of_work_sees_a_failed_commit(
    log: list[str],
) -> None:
    mediator = mediator_with(Note("inside", log), Around("around", log))
    await mediator.send(Add())
    log.clear()
    with pytest.raises(ConcurrencyError):
        await mediator.send(Add())
    assert log == ["around in", "inside in", "inside out", "around saw ConcurrencyError"]


async def test_an_error_of_a_middleware_undoes_the_message(log: list[str]) -> None:
    class Fail:
        async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
            response = await next_handler(message)
            if isinstance(message, Add):
                raise LookupError  # noqa: TRY004 - any error will do
            return response

    mediator = mediator_with(Fail())
    with pytest.raises(LookupError):
        await mediator.send(Add())
    assert (await mediator.query(Count())).result == 0


async def test_middleware_around_may_try_again_in_a_fresh_unit_of_work() -> None:
    units: list[int] = []

    class Twice:
        surrounds_unit_of_work = True

        async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
            await next_handler(message)
            return await next_handler(message)

    class Look:
        async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
            units.append(id(get_current_uow()))
            keep.append(get_current_uow())
            return await next_handler(message)

    keep: list[Any] = []
    await mediator_with(Twice(), Look()).query(Count())
    assert len(set(units)) == 2


async def test_an_event_sink_gets_all_events_of_a_unit_of_work_once_before_the_commit() -> None:
    saved: list[list[Any]] = []

    class Sink:
        async def save_events(self, events: Sequence[Any], uow: Any) -> None:
            assert uow is get_current_uow()
            assert not uow.committed
            saved.append(list(events))

    await mediator_with(Sink()).send(AddTwice())
    (events,) = saved
    assert len({event.event_id for event in events}) == 2
    assert all(event.correlation_id and event.causation_id for event in events)


async def test_a_failing_event_sink_fails_the_command() -> None:
    class Full:
        async def save_events(self, events: Sequence[Any], uow: Any) -> None:
            raise OSError("disk full")

    mediator = mediator_with(Full())
    with pytest.raises(OSError, match="disk full"):
        await mediator.send(Add())
    assert (await mediator.query(Count())).result == 0
