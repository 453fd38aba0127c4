"""Commands sent while another is handled: one unit of work, one fate."""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    CommandResponse,
    DomainError,
    DomainEvent,
    EventPhase,
    ForeignTaskError,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryOutboxStorage,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    OutboxMiddleware,
    Query,
    UnitOfWorkClosedError,
    UnitOfWorkDoomedError,
    get_current_uow,
    repository,
)


class Happened(DomainEvent):
    name: str


class Item(AggregateRoot[str]):
    changes: int = 0


class ItemUnitOfWork(InMemoryUnitOfWork):
    items = repository(Item)


class RefusedError(DomainError):
    pass


class Do(Command[list[str]]):
    """Adds an item, does all that is nested in it, and fails at the end if told to."""

    name: str
    nested: tuple["Do", ...] = ()
    fail: bool = False
    catch: bool = False
    savepoint: bool = False
    as_events: tuple["Do", ...] = ()


class Count(Query[int]):
    pass


class Fail(Query[None]):
    pass


class World:
    """Handles ``Do`` as it says, and writes down what happened."""

    def __init__(self) -> None:
        self.database, self.outbox = InMemoryDatabase(), InMemoryOutboxStorage()
        self.before: list[str] = []
        self.after: list[str] = []
        self.units: list[InMemoryUnitOfWork] = []
        self.followed_by: dict[str, tuple[Do, ...]] = {}
        self.registry = HandlerRegistry()
        self.registry.register_command_handler(Do, self.do)
        self.registry.register_query_handler(Count, self.count)
        self.registry.register_query_handler(Fail, self.fail)
        phase = EventPhase.IN_TRANSACTION
        self.registry.register_event_handler(Happened, self.in_transaction, phase=phase)
        self.registry.register_event_handler(Happened, self.after_commit)
        middlewares = MiddlewareRegistry([OutboxMiddleware(self.outbox)])
        self.mediator = Mediator(self.registry, self.open, middleware_registry=middlewares)

    def open(self) -> ItemUnitOfWork:
        self.units.append(uow := ItemUnitOfWork(self.database))
        return uow

    async def do(self, command: Do, uow: ItemUnitOfWork) -> CommandResponse[list[str]]:
        item = Item(id=command.name)
        await uow.items.add(item)
        item.add_event(Happened(name=f"{command.name} pending"))
        self.followed_by[f"{command.name} returned"] = command.as_events
        names = [command.name]
        for nested in command.nested:
            try:
                response = await self.mediator.send(nested, savepoint=command.savepoint)
                names += response.result
            except RefusedError:
                if not command.catch:
                    raise
        if command.fail:
            raise RefusedError(command.name)
        return CommandResponse(names, events=[Happened(name=f"{command.name} returned")])

    async def count(self, query: Count, uow: ItemUnitOfWork) -> int:
        return len(await uow.items.list_all())

    async def fail(self, query: Fail) -> None:
        raise RefusedError("query")

    async def in_transaction(self, event: Happened) -> None:
        self.before.append(event.name)
        for command in self.followed_by.get(event.name, ()):
            await self.mediator.send(command)

    async def after_commit(self, event: Happened) -> None:
        self.after.append(event.name)

    async def items(self) -> list[str]:
        async with ItemUnitOfWork(self.database) as uow:
            return [item.id for item in await uow.items.list_all()]


@pytest.fixture
def world() -> World:
    return World()


async def test_a_nested_command_joins_the_unit_of_work_and_does_not_commit(world: World) -> None:
    committed: list[bool] = []

    async def look(event: Happened) -> None:
        committed.append(world.units[0].committed)

    world.registry.register_event_handler(Happened, look, phase=EventPhase.IN_TRANSACTION)
    response = await world.mediator.send(Do(name="outer", nested=(Do(name="inner"),)))
    assert response.result == ["outer", "inner"]
    assert len(world.units) == 1
    assert committed == [False] * 4
    assert await world.items() == ["outer", "inner"]


async def test_the_events_of_nested_commands_are_handled_once_after_all_have_run(
    world: World,
) -> None:
    await world.mediator.send(Do(name="outer", nested=(Do(name="inner"),)))
    happened = ["outer pending", "inner pending", "inner returned", "outer returned"]
    assert sorted(world.before) == sorted(world.after) == sorted(happened)
    assert len(await world.outbox.get_pending()) == 4


async def test_nested_commands_share_the_conversation_and_name_their_cause(world: World) -> None:
    inner = Do(name="inner")
    outer = Do(name="outer", nested=(inner,), correlation_id="request-7")
    await world.mediator.send(outer)
    messages = await world.outbox.get_pending()
    assert {message.correlation_id for message in messages} == {"request-7"}
    causes = Counter(message.causation_id for message in messages)
    assert causes[inner.command_id] >= 1
    assert causes[outer.command_id] >= 1
    assert set(causes) == {inner.command_id, outer.command_id}


async def test_the_response_of_a_nested_command_names_the_outer_one_as_its_cause(
    world: World,
) -> None:
    responses: list[CommandResponse[Any]] = []

    class Outer(Command[None]):
        pass

    async def outer(command: Outer) -> None:
        responses.append(await world.mediator.send(Do(name="inner")))

    world.registry.register_command_handler(Outer, outer)
    command = Outer()
    root = await world.mediator.send(command)
    assert responses[0].causation_id == command.command_id
    assert responses[0].correlation_id == root.correlation_id == command.command_id
    assert root.causation_id is None


async def test_a_failure_inside_fails_everything(world: World) -> None:
    with pytest.raises(RefusedError, match="inner"):
        await world.mediator.send(Do(name="outer", nested=(Do(name="inner", fail=True),)))
    assert await world.items() == []
    assert (world.before, world.after, await world.outbox.get_pending()) == ([], [], [])


async def test_a_failure_inside_that_was_caught_still_dooms_the_unit_of_work(
    world: World,
) -> None:
    inner = Do(name="inner", fail=True)
    with pytest.raises(UnitOfWorkDoomedError, match="savepoint=True") as caught:
        await world.mediator.send(Do(name="outer", nested=(inner,), catch=True))
    assert isinstance(caught.value.cause, RefusedError)
    assert caught.value.__cause__ is caught.value.cause
    assert await world.items() == []
    assert (world.after, await world.outbox.get_pending()) == ([], [])


async def test_a_savepoint_undoes_just_the_nested_command(world: World) -> None:
    nested = (Do(name="good"), Do(name="bad", nested=(Do(name="child"),), fail=True))
    command = Do(name="outer", nested=nested, catch=True, savepoint=True)
    response = await world.mediator.send(command)
    assert response.result == ["outer", "good"]
    assert await world.items() == ["outer", "good"]
    happened = ["good pending", "good returned", "outer pending", "outer returned"]
    assert sorted(world.before) == sorted(world.after) == happened
    assert len(await world.outbox.get_pending()) == 4


async def test_a_savepoint_brings_aggregates_in_memory_back_too(world: World) -> None:
    class Change(Command[None]):
        fail: bool

    class Outer(Command[tuple[int, int]]):
        pass

    async def change(command: Change, uow: ItemUnitOfWork) -> None:
        item = await uow.items.require("i-1")
        item.changes += 1
        item.add_event(Happened(name="changed"))
        if command.fail:
            raise RefusedError

    async def outer(command: Outer, uow: ItemUnitOfWork) -> tuple[int, int]:
        item = Item(id="i-1")
        await uow.items.add(item)
        await world.mediator.send(Change(fail=False), savepoint=True)
        with pytest.raises(RefusedError):
            await world.mediator.send(Change(fail=True), savepoint=True)
        return item.changes, len(item.pending_events)

    world.registry.register_command_handler(Change, change)
    world.registry.register_command_handler(Outer, outer)
    assert (await world.mediator.send(Outer())).result == (1, 0)
    assert world.after == ["changed"]


async def test_events_raised_before_a_savepoint_survive_its_failure(world: World) -> None:
    command = Do(name="outer", nested=(Do(name="bad", fail=True),), catch=True, savepoint=True)
    await world.mediator.send(command)
    assert sorted(world.after) == ["outer pending", "outer returned"]


async def test_events_taken_inside_a_failed_savepoint_are_taken_again_after_it(
    world: World,
) -> None:
    class Outer(Command[None]):
        pass

    async def outer(command: Outer, uow: ItemUnitOfWork) -> None:
        await world.mediator.send(Do(name="first"))
        item = await uow.items.require("first")
        item.add_event(Happened(name="before"))
        both = Happened(name="in both")
        with pytest.raises(RefusedError):
            await world.mediator.send(Publish(event=both), savepoint=True)
        await world.mediator.publish(both)

    class Publish(Command[None]):
        event: Happened

    async def publish(command: Publish) -> None:
        await world.mediator.publish(command.event)
        await world.mediator.send(Do(name="inner"))
        raise RefusedError

    world.registry.register_command_handler(Outer, outer)
    world.registry.register_command_handler(Publish, publish)
    await world.mediator.send(Outer())
    happened = ["before", "first pending", "first returned", "in both"]
    assert sorted(world.before) == sorted(world.after) == happened
    assert await world.items() == ["first"]


async def test_a_savepoint_without_an_outer_command_is_a_plain_send(world: World) -> None:
    await world.mediator.send(Do(name="alone"), savepoint=True)
    assert await world.items() == ["alone"]


async def test_a_query_inside_a_command_sees_what_is_not_committed_yet(world: World) -> None:
    class AddAndCount(Command[int]):
        pass

    async def add_and_count(command: AddAndCount, uow: ItemUnitOfWork) -> int:
        await uow.items.add(Item(id="i-1"))
        return (await world.mediator.query(Count())).result

    world.registry.register_command_handler(AddAndCount, add_and_count)
    assert (await world.mediator.send(AddAndCount())).result == 1


async def test_a_query_that_fails_inside_a_command_may_be_caught(world: World) -> None:
    class TryQuery(Command[None]):
        pass

    async def try_query(command: TryQuery, uow: ItemUnitOfWork) -> None:
        await uow.items.add(Item(id="i-1"))
        with pytest.raises(RefusedError):
            await world.mediator.query(Fail())

    world.registry.register_command_handler(TryQuery, try_query)
    await world.mediator.send(TryQuery())
    assert await world.items() == ["i-1"]


async def test_a_child_task_cannot_use_the_unit_of_work_and_is_told_why(world: World) -> None:
    class Spawn(Command[str]):
        pass

    async def spawn(command: Spawn) -> str:
        async def look() -> str:
            with pytest.raises(ForeignTaskError, match="opened by another task") as caught:
                get_current_uow()
            return str(caught.value)

        return await asyncio.create_task(look())

    world.registry.register_command_handler(Spawn, spawn)
    assert "send a command of its own" in (await world.mediator.send(Spawn())).result


async def test_a_command_sent_by_a_child_task_is_committed_on_its_own(world: World) -> None:
    class Spawn(Command[None]):
        pass

    async def spawn(command: Spawn) -> None:
        await asyncio.create_task(send_child())
        raise RefusedError

    async def send_child() -> None:
        await world.mediator.send(Do(name="child"))

    world.registry.register_command_handler(Spawn, spawn)
    with pytest.raises(RefusedError):
        await world.mediator.send(Spawn())
    assert await world.items() == ["child"]


async def test_a_task_that_outlives_its_command_sends_in_a_unit_of_work_of_its_own(
    world: World,
) -> None:
    done, tasks = asyncio.Event(), list[asyncio.Task[None]]()

    class Spawn(Command[None]):
        pass

    async def spawn(command: Spawn) -> None:
        tasks.append(asyncio.create_task(send_later()))

    async def send_later() -> None:
        await done.wait()
        with pytest.raises(UnitOfWorkClosedError, match="never be committed"):
            get_current_uow()
        await world.mediator.send(Do(name="later"))

    world.registry.register_command_handler(Spawn, spawn)
    command = Spawn()
    await world.mediator.send(command)
    done.set()
    await tasks[0]
    assert await world.items() == ["later"]
    messages = await world.outbox.get_pending()
    assert {message.correlation_id for message in messages} == {command.command_id}


names = st.uuids().map(str)
trees = st.recursive(
    st.builds(Do, name=names),
    lambda inner: st.builds(
        Do,
        name=names,
        nested=st.lists(inner, max_size=3).map(tuple),
        as_events=st.lists(inner, max_size=2).map(tuple),
        savepoint=st.booleans(),
    ),
    max_leaves=8,
)


def events_of(names: list[str]) -> list[str]:
    return sorted(f"{name} {how}" for name in names for how in ("pending", "returned"))


def all_names(command: Do) -> list[str]:
    children = (*command.nested, *command.as_events)
    return [command.name, *(name for child in children for name in all_names(child))]


@given(trees)
async def test_every_event_of_a_tree_of_commands_and_events_is_delivered_once(root: Do) -> None:
    world = World()
    await world.mediator.send(root)
    happened = events_of(all_names(root))
    messages = await world.outbox.get_pending(10_000)
    assert sorted(world.before) == sorted(world.after) == happened
    assert len({message.message_id for message in messages}) == len(messages) == len(happened)
    assert sorted(await world.items()) == sorted(all_names(root))
    assert len(world.units) == 1


def survivors(command: Do) -> list[str]:
    """Return the names of what a tree with savepoints leaves behind."""
    if command.fail:
        return []
    return [command.name, *(name for child in command.nested for name in survivors(child))]


careful_trees = st.recursive(
    st.builds(Do, name=names, fail=st.booleans()),
    lambda inner: st.builds(
        Do,
        name=names,
        nested=st.lists(inner, max_size=3).map(tuple),
        fail=st.booleans(),
        catch=st.just(value=True),
        savepoint=st.just(value=True),
    ),
    max_leaves=8,
)


@given(careful_trees)
async def test_what_fails_in_savepoints_leaves_nothing_behind(tree: Do) -> None:
    world = World()
    root = Do(name="root", nested=(tree,), catch=True, savepoint=True)
    await world.mediator.send(root)
    left = survivors(root)
    happened = events_of(left)
    assert sorted(await world.items()) == sorted(left)
    assert sorted(world.before) == sorted(world.after) == happened
    assert len(await world.outbox.get_pending(10_000)) == len(happened)


async def test_a_savepoint_of_the_handlers_own_undoes_events_and_failures_of_what_it_sent(
    world: World,
) -> None:
    class Try(Command[None]):
        pass

    async def try_it(_: Try, uow: ItemUnitOfWork) -> None:
        kept = Item(id="kept")
        await uow.items.add(kept)
        kept.add_event(Happened(name="before"))
        with suppress(RefusedError):
            async with uow.savepoint():
                await world.mediator.send(Do(name="undone"))
                raise RefusedError
        with suppress(RefusedError):
            async with uow.savepoint():
                await world.mediator.send(Do(name="failed", fail=True))
        kept.add_event(Happened(name="after"))

    world.registry.register_command_handler(Try, try_it)
    response = await world.mediator.send(Try())
    assert [event.name for event in response.events] == ["before", "after"]
    assert world.before == ["before", "after"]
    assert world.after == ["before", "after"]
    assert await world.items() == ["kept"]


async def test_a_failed_savepoint_in_an_event_handler_leaves_the_other_events_in_the_queue(
    world: World,
) -> None:
    async def try_more(event: Happened, uow: ItemUnitOfWork) -> None:
        if event.name != "a returned":
            return
        try:
            await world.mediator.send(Do(name="undone", fail=True), savepoint=True)
        except RefusedError:
            await world.mediator.publish(Happened(name="instead"))

    phase = EventPhase.IN_TRANSACTION
    world.registry.register_event_handler(Happened, try_more, phase=phase)
    await world.mediator.send(Do(name="a"))
    assert world.before == ["a returned", "a pending", "instead"]
    assert sorted(world.after) == ["a pending", "a returned", "instead"]
    assert len(await world.outbox.get_pending()) == 3
