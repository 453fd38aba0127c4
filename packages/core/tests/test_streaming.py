"""Streaming handlers: items as they are produced, each committed with its events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    ConcurrencyError,
    DomainEvent,
    EventPhase,
    HandlerNotFoundError,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryOutboxStorage,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    NoUnitOfWorkError,
    OutboxMiddleware,
    Query,
    ReadOnlyUnitOfWorkError,
    RetryMiddleware,
    RetryPolicy,
    StreamHandler,
    ValidationError,
    ValidatorMiddleware,
    get_correlation_id,
    get_current_uow,
    repository,
)


class Imported(DomainEvent):
    number: int


class Line(AggregateRoot[int]):
    pass


class LineUnitOfWork(InMemoryUnitOfWork):
    lines = repository(Line)


class Import(Command[int]):
    lines: int = 3
    fail_at: int | None = None


class Numbers(Query[int]):
    upto: int = 3


class CountLines(Query[int]):
    pass


class World:
    def __init__(self, *middlewares: Any) -> None:
        self.log: list[str] = []
        self.units: list[LineUnitOfWork] = []
        self.database, self.outbox = InMemoryDatabase(), InMemoryOutboxStorage()
        self.registry = HandlerRegistry()
        self.registry.register_stream_handler(Import, self.import_lines)
        self.registry.register_stream_handler(Numbers, self.numbers)
        self.registry.register_query_handler(CountLines, self.count)
        self.mediator = Mediator(
            self.registry,
            self.open,
            middleware_registry=MiddlewareRegistry([*middlewares, OutboxMiddleware(self.outbox)]),
        )

    def open(self) -> LineUnitOfWork:
        self.units.append(uow := LineUnitOfWork(self.database))
        return uow

    async def import_lines(self, command: Import, uow: LineUnitOfWork) -> AsyncGenerator[int]:
        try:
            for number in range(1, command.lines + 1):
                self.log.append(f"makes {number}")
                if number == command.fail_at:
                    raise LookupError(number)
                line = Line(id=number)
                await uow.lines.add(line)
                line.add_event(Imported(number=number))
                yield number
            await uow.lines.add(Line(id=0))
            await self.mediator.publish(Imported(number=0))
        finally:
            self.log.append("closes")

    async def numbers(self, query: Numbers) -> AsyncIterator[int]:
        for number in range(query.upto):
            yield number

    async def count(self, query: CountLines, uow: LineUnitOfWork) -> int:
        return len(await uow.lines.list_all())

    async def committed(self) -> int:
        return (await self.mediator.query(CountLines())).result


async def take_all(items: AsyncGenerator[Any], taken: list[Any]) -> None:
    """Put every item into ``taken``, so that those before an error are there too."""
    async for item in items:
        taken.append(item)  # noqa: PERF401 - an error must not lose the others


@pytest.fixture
def world() -> World:
    return World()


async def test_items_come_as_they_are_produced(world: World) -> None:
    async for number in world.mediator.stream(Import()):
        world.log.append(f"takes {number}")
    takes = [entry for number in (1, 2, 3) for entry in (f"makes {number}", f"takes {number}")]
    assert world.log == [*takes, "closes"]


async def test_the_handler_goes_on_only_when_the_next_item_is_asked_for(world: World) -> None:
    async for number in world.mediator.stream(Import()):
        for _ in range(20):
            await asyncio.sleep(0)  # whatever wants to run, runs now
        assert world.log == [f"makes {made}" for made in range(1, number + 1)]


async def test_each_item_is_committed_before_it_is_handed_out(world: World) -> None:
    committed = [await world.committed() async for _ in world.mediator.stream(Import())]
    assert committed == [1, 2, 3]


async def test_what_comes_after_the_last_item_is_committed_too(world: World) -> None:
    assert [number async for number in world.mediator.stream(Import())] == [1, 2, 3]
    assert await world.committed() == 4


async def test_events_are_handled_and_stored_with_the_item_they_came_before(
    world: World,
) -> None:
    async def in_transaction(event: Imported) -> None:
        world.log.append(f"handles {event.number}")

    async def after_commit(event: Imported) -> None:
        world.log.append(f"tells {event.number}")

    phase = EventPhase.IN_TRANSACTION
    world.registry.register_event_handler(Imported, in_transaction, phase=phase)
    world.registry.register_event_handler(Imported, after_commit)
    stored: list[int] = []
    async for number in world.mediator.stream(Import(lines=2)):
        stored.append(len(await world.outbox.get_pending()))
        world.log.append(f"takes {number}")
    assert stored == [1, 2]
    assert len(await world.outbox.get_pending()) == 3
    handled = [entry for entry in world.log if entry.startswith("handles")]
    told = [entry for entry in world.log if entry.startswith("tells")]
    assert handled == ["handles 1", "handles 2", "handles 0"]
    assert told == ["tells 1", "tells 2", "tells 0"]
    assert world.log.index("handles 1") < world.log.index("takes 1")


async def test_events_of_a_stream_carry_the_ids_of_its_command(world: World) -> None:
    async def in_transaction(event: Imported) -> None: ...

    phase = EventPhase.IN_TRANSACTION
    world.registry.register_event_handler(Imported, in_transaction, phase=phase)
    command = Import(correlation_id="request-7")
    async for _ in world.mediator.stream(command):
        pass
    messages = await world.outbox.get_pending()
    ids = {(message.correlation_id, message.causation_id) for message in messages}
    assert ids == {("request-7", command.command_id)}


async def test_leaving_early_closes_the_handler_and_undoes_what_was_not_committed(
    world: World,
) -> None:
    async with aclosing(world.mediator.stream(Import())) as numbers:
        async for number in numbers:
            if number == 2:
                break
    assert world.log == ["makes 1", "makes 2", "closes"]
    assert await world.committed() == 2
    assert len(await world.outbox.get_pending()) == 2


async def test_work_begun_for_the_next_item_is_undone_when_nobody_wants_it(
    world: World,
) -> None:
    started, forever = asyncio.Event(), asyncio.Event()

    class Slow(Command[int]):
        pass

    async def slow(command: Slow, uow: LineUnitOfWork) -> AsyncIterator[int]:
        yield 1
        await uow.lines.add(Line(id=7))
        started.set()
        await forever.wait()

    async def consume() -> None:
        async with aclosing(world.mediator.stream(Slow())) as numbers:
            async for _ in numbers:
                pass

    world.registry.register_stream_handler(Slow, slow)
    consuming = asyncio.create_task(consume())
    await started.wait()
    consuming.cancel()
    await asyncio.wait([consuming])
    assert consuming.cancelled()
    assert world.units[0].rolled_back
    assert await world.committed() == 0


async def test_an_error_reaches_the_consumer_and_keeps_the_items_before(world: World) -> None:
    taken: list[int] = []
    with pytest.raises(LookupError):
        await take_all(world.mediator.stream(Import(fail_at=3)), taken)
    assert taken == [1, 2]
    assert world.log[-1] == "closes"
    assert await world.committed() == 2


async def test_a_failing_in_transaction_handler_keeps_its_item_from_the_consumer(
    world: World,
) -> None:
    async def refuse(event: Imported) -> None:
        if event.number == 2:
            raise LookupError(event.number)

    world.registry.register_event_handler(Imported, refuse, phase=EventPhase.IN_TRANSACTION)
    taken: list[int] = []
    with pytest.raises(LookupError):
        await take_all(world.mediator.stream(Import()), taken)
    assert taken == [1]
    assert await world.committed() == 1


async def test_a_query_is_streamed_without_any_commit(world: World) -> None:
    assert [number async for number in world.mediator.stream(Numbers())] == [0, 1, 2]
    assert not world.units[0].committed


async def test_a_streamed_query_cannot_change_anything(world: World) -> None:
    class Spoil(Query[int]):
        pass

    async def spoil(query: Spoil, uow: LineUnitOfWork) -> AsyncIterator[int]:
        await uow.lines.add(Line(id=1))
        yield 1

    world.registry.register_stream_handler(Spoil, spoil)
    with pytest.raises(ReadOnlyUnitOfWorkError):
        await take_all(world.mediator.stream(Spoil()), [])
    assert await world.committed() == 0


async def test_nobody_streams_an_unknown_message(world: World) -> None:
    with pytest.raises(HandlerNotFoundError, match=r"register_stream_handler\(CountLines"):
        world.mediator.stream(CountLines())


async def test_the_consumer_sees_nothing_of_the_handlers_context(world: World) -> None:
    async for _ in world.mediator.stream(Import()):
        assert get_correlation_id() is None
        with pytest.raises(NoUnitOfWorkError):
            get_current_uow()


async def test_the_handler_has_its_unit_of_work_and_its_conversation(world: World) -> None:
    class Look(Query[tuple[bool, str | None]]):
        pass

    async def look(query: Look) -> AsyncIterator[tuple[bool, str | None]]:
        for _ in range(2):
            yield get_current_uow() is world.units[-1], get_correlation_id()

    world.registry.register_stream_handler(Look, look)
    query = Look()
    seen = [item async for item in world.mediator.stream(query)]
    assert seen == [(True, query.query_id)] * 2


async def test_a_stream_read_inside_a_command_has_a_unit_of_work_of_its_own(
    world: World,
) -> None:
    class ImportAll(Command[int]):
        pass

    async def import_all(command: ImportAll, uow: LineUnitOfWork) -> int:
        total = sum([number async for number in world.mediator.stream(Import())])
        assert get_current_uow() is uow
        return total

    world.registry.register_command_handler(ImportAll, import_all)
    assert (await world.mediator.send(ImportAll())).result == 6
    assert len(world.units) == 2


async def test_a_streaming_class_is_made_for_each_stream(world: World) -> None:
    class Letters(Query[str]):
        pass

    class LettersHandler(StreamHandler[str]):
        def __init__(self) -> None:
            self.letters = ["a", "b"]

        async def handle(self, message: Letters) -> AsyncIterator[str]:
            while self.letters:
                yield self.letters.pop(0)

    world.registry.register_stream_handler(Letters, LettersHandler)
    for _ in range(2):
        assert [letter async for letter in world.mediator.stream(Letters())] == ["a", "b"]


async def test_several_streams_run_side_by_side(world: World) -> None:
    first, second = world.mediator.stream(Numbers()), world.mediator.stream(Numbers())
    async with aclosing(first), aclosing(second):
        pairs = [(await anext(first), await anext(second)) for _ in range(3)]
    assert pairs == [(0, 0), (1, 1), (2, 2)]


async def test_a_stream_that_nobody_reads_opens_nothing(world: World) -> None:
    stream = world.mediator.stream(Import())
    await stream.aclose()
    assert (world.units, world.log) == ([], [])


async def test_middleware_stands_around_a_stream() -> None:
    class Note:
        async def __call__(self, message: Any, next_handler: Any) -> Any:
            world.log.append(f"before {type(message).__name__}")
            response = await next_handler(message)
            world.log.append("after")
            return response

    world = World(Note())
    assert [number async for number in world.mediator.stream(Numbers(upto=1))] == [0]
    assert world.log == ["before Numbers", "after"]


async def test_middleware_may_refuse_a_stream() -> None:
    world = World(ValidatorMiddleware())
    with pytest.raises(ValidationError, match="upto"):
        await take_all(world.mediator.stream(Numbers.model_construct(upto="many")), [])
    assert world.units == []


class RacingImport:
    """A handler that loses a race at a certain item, the first time it runs."""

    def __init__(self, lose_at: int) -> None:
        self.lose_at, self.attempts = lose_at, 0

    async def handle(self, command: Import) -> AsyncIterator[int]:
        self.attempts += 1
        for number in (1, 2):
            if number == self.lose_at and self.attempts == 1:
                raise ConcurrencyError("Line 1", expected=1, actual=2)
            yield number


async def test_a_stream_starts_over_after_a_lost_race_before_its_first_item() -> None:
    world, handler = World(RetryMiddleware(RetryPolicy(base_delay=0))), RacingImport(lose_at=1)
    world.registry.streams.clear()
    world.registry.register_stream_handler(Import, handler)
    assert [number async for number in world.mediator.stream(Import())] == [1, 2]
    assert handler.attempts == len(world.units) == 2


async def test_a_stream_never_hands_out_an_item_twice_by_starting_over() -> None:
    world, handler = World(RetryMiddleware(RetryPolicy(base_delay=0))), RacingImport(lose_at=2)
    world.registry.streams.clear()
    world.registry.register_stream_handler(Import, handler)
    taken: list[int] = []
    with pytest.raises(ConcurrencyError):
        await take_all(world.mediator.stream(Import()), taken)
    assert (taken, handler.attempts) == ([1], 1)
