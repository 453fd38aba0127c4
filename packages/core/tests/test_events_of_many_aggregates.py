"""Collecting events looks at the aggregates that have some, not at all of them for each event."""

import asyncio
from collections import Counter
from contextvars import Context
from typing import Any

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    CommandResponse,
    DomainEvent,
    EventPhase,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryUnitOfWork,
    Mediator,
    get_current_uow,
    repository,
)

MANY = 300


class Counted(DomainEvent):
    pass


class Answered(DomainEvent):
    pass


class Item(AggregateRoot[str]):
    counts: int = 0

    def count(self) -> None:
        self.counts += 1
        self.add_event(Counted())

    def clear_events(self) -> list[Any]:
        looks[self.id] += 1
        return super().clear_events()


class OwnItem:
    """An aggregate of a class of the user's own, which tells nobody of its events."""

    def __init__(self, item_id: str) -> None:
        self.id, self.version = item_id, 0
        self.events: list[Any] = []
        self._version = 0

    @property
    def pending_events(self) -> tuple[Any, ...]:
        return tuple(self.events)

    def clear_events(self) -> list[Any]:
        events, self.events = self.events, []
        return events


class WarehouseUnitOfWork(InMemoryUnitOfWork):
    items = repository(Item)
    own_items = repository(OwnItem)


class CountAll(Command[None]):
    pass


class CountOne(Command[None]):
    item_id: str
    fail: bool = False


class CountOutOfSight(Command[None]):
    pass


class CountOwn(Command[None]):
    pass


looks: Counter[str] = Counter()


async def count_all(_: CountAll) -> None:
    uow: WarehouseUnitOfWork = get_current_uow()
    for number in range(MANY):
        item = Item(id=f"i-{number}")
        await uow.items.add(item)
        item.count()


async def count_one(command: CountOne) -> None:
    uow: WarehouseUnitOfWork = get_current_uow()
    (await uow.items.require(command.item_id)).count()
    if command.fail:
        raise ValueError


async def count_out_of_sight(_: CountOutOfSight) -> None:
    """Have an event recorded by code that runs in a context of its own."""
    uow: WarehouseUnitOfWork = get_current_uow()
    item = Item(id="hidden")
    await uow.items.add(item)
    Context().run(item.count)


async def count_own(_: CountOwn) -> None:
    uow: WarehouseUnitOfWork = get_current_uow()
    item = OwnItem("own")
    await uow.own_items.add(item)
    item.events.append(Counted(aggregate_id="own"))


def wire(registry: HandlerRegistry) -> Mediator:
    database = InMemoryDatabase()
    looks.clear()
    registry.register_command_handler(CountAll, count_all)
    registry.register_command_handler(CountOne, count_one)
    registry.register_command_handler(CountOutOfSight, count_out_of_sight)
    registry.register_command_handler(CountOwn, count_own)
    return Mediator(registry, lambda: WarehouseUnitOfWork(database))


async def test_each_aggregate_is_looked_at_a_few_times_however_many_events_are_handled() -> None:
    registry = HandlerRegistry()
    answers: list[str] = []

    async def answer(event: Counted) -> None:
        assert event.aggregate_id is not None
        item = await get_current_uow().items.require(event.aggregate_id)
        item.add_event(Answered())
        answers.append(event.aggregate_id)

    registry.register_event_handler(Counted, answer, phase=EventPhase.IN_TRANSACTION)
    response = await wire(registry).send(CountAll())
    assert len(answers) == len(response.events) == MANY
    assert looks.total() <= 12 * MANY  # MANY * MANY when each event has all looked at


async def test_nested_commands_do_not_have_all_aggregates_looked_at_again() -> None:
    registry = HandlerRegistry()

    class CountTwice(Command[None]):
        pass

    async def count_twice(_: CountTwice) -> None:
        await mediator.send(CountAll())
        for number in range(MANY):
            await mediator.send(CountOne(item_id=f"i-{number}"))

    registry.register_command_handler(CountTwice, count_twice)
    mediator = wire(registry)
    await mediator.send(CountTwice())
    assert looks.total() <= 12 * MANY


async def test_an_event_recorded_where_nobody_listens_is_found_at_the_end() -> None:
    registry = HandlerRegistry()
    response = await wire(registry).send(CountOutOfSight())
    assert [event.aggregate_id for event in response.events] == ["hidden"]


async def test_an_event_that_an_in_transaction_handler_causes_unheard_is_handled_too() -> None:
    registry = HandlerRegistry()
    answered: list[Any] = []

    async def answer_unheard(event: Counted) -> None:
        item = await get_current_uow().items.require(event.aggregate_id)
        Context().run(item.add_event, Answered())

    async def hear(event: Answered) -> None:
        answered.append(event)

    registry.register_event_handler(Counted, answer_unheard, phase=EventPhase.IN_TRANSACTION)
    registry.register_event_handler(Answered, hear, phase=EventPhase.IN_TRANSACTION)
    await wire(registry).send(CountAll())
    assert len(answered) == MANY


async def test_events_of_aggregates_that_tell_nobody_are_found() -> None:
    registry = HandlerRegistry()
    causes: list[str | None] = []

    async def note(event: Counted) -> None:
        causes.append(event.causation_id)

    registry.register_event_handler(Counted, note, phase=EventPhase.IN_TRANSACTION)
    command = CountOwn()
    await wire(registry).send(command)
    assert causes == [command.command_id]


async def test_what_is_recorded_before_it_is_added_is_taken_once() -> None:
    class Add(Command[None]):
        pass

    async def add(_: Add) -> None:
        item = Item(id="i-1")
        item.count()
        await mediator.send(CountOwn())  # takes what is there: the item is not in the unit of work
        await get_current_uow().items.add(item)

    registry = HandlerRegistry()
    registry.register_command_handler(Add, add)
    mediator = wire(registry)
    response = await mediator.send(Add())
    assert [event.aggregate_id for event in response.events] == ["i-1"]


async def test_events_before_a_nested_command_are_those_of_the_outer_one() -> None:
    class Outer(Command[None]):
        pass

    responses: list[CommandResponse[None]] = []

    async def outer(_: Outer) -> None:
        item = Item(id="i-1")
        await get_current_uow().items.add(item)
        item.count()
        responses.append(await mediator.send(CountOne(item_id="i-1")))
        item.count()

    registry = HandlerRegistry()
    registry.register_command_handler(Outer, outer)
    mediator = wire(registry)
    command = Outer()
    response = await mediator.send(command)
    assert [event.causation_id for event in response.events] == [command.command_id] * 2
    assert len(responses[0].events) == 1
    assert responses[0].events[0].causation_id not in (None, command.command_id)


async def test_an_undone_nested_command_leaves_the_events_before_it() -> None:
    class Outer(Command[None]):
        pass

    async def outer(_: Outer) -> None:
        item = Item(id="i-1")
        await get_current_uow().items.add(item)
        item.count()
        try:
            await mediator.send(CountOne(item_id="i-1", fail=True), savepoint=True)
        except ValueError:
            item.count()

    registry = HandlerRegistry()
    registry.register_command_handler(Outer, outer)
    mediator = wire(registry)
    response = await mediator.send(Outer())
    assert len(response.events) == 2


async def test_events_recorded_in_child_tasks_are_taken() -> None:
    class Fan(Command[None]):
        pass

    async def fan(_: Fan) -> None:
        items = [Item(id=f"i-{number}") for number in range(3)]
        for item in items:
            await get_current_uow().items.add(item)

        async def count(item: Item) -> None:
            item.count()

        await asyncio.gather(*map(count, items))

    registry = HandlerRegistry()
    registry.register_command_handler(Fan, fan)
    response = await wire(registry).send(Fan())
    assert len(response.events) == 3
