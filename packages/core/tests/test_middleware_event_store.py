"""The event store as a record beside the state: appended in the same transaction."""

from dataclasses import dataclass
from typing import Any

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    CommandResponse,
    DomainEvent,
    EventStorePersistenceMiddleware,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryEventStore,
    InMemoryUnitOfWork,
    JsonMessageCodec,
    Mediator,
    MiddlewareRegistry,
    StoredEvent,
    StreamId,
    repository,
)


class Counted(DomainEvent):
    event_type = "shop.counted"
    version: int = 4
    value: int


class Announced(DomainEvent):
    pass


@dataclass(frozen=True)
class Beeped:
    loud: bool


class Counter(AggregateRoot[str]):
    value: int = 0

    def count(self) -> None:
        self.value += 1
        self.add_event(Counted(value=self.value))


class CounterUnitOfWork(InMemoryUnitOfWork):
    counters = repository(Counter)


class Count(Command[None]):
    counters: tuple[str, ...] = ("c-1",)
    extra: tuple[Any, ...] = ()
    fail: bool = False


class World:
    def __init__(self) -> None:
        self.store, self.database = InMemoryEventStore(), InMemoryDatabase()
        registry = HandlerRegistry()
        registry.register_command_handler(Count, self.count)
        sink = EventStorePersistenceMiddleware(self.store)
        self.mediator = Mediator(
            registry,
            lambda: CounterUnitOfWork(self.database),
            middleware_registry=MiddlewareRegistry([sink]),
        )

    async def count(self, command: Count, uow: CounterUnitOfWork) -> CommandResponse[None]:
        for counter_id in command.counters:
            counter = await uow.counters.get(counter_id) or Counter(id=counter_id)
            await uow.counters.add(counter)
            counter.count()
            counter.count()
        if command.fail:
            raise LookupError
        return CommandResponse(None, events=list(command.extra))

    async def stream(self, aggregate_type: str, aggregate_id: str = "") -> list[StoredEvent]:
        stream = StreamId(aggregate_type, aggregate_id)
        return [event async for event in self.store.read_stream(stream)]


@pytest.fixture
def world() -> World:
    return World()


async def test_events_go_into_the_stream_of_their_aggregate(world: World) -> None:
    await world.mediator.send(Count(counters=("c-1", "c-2")))
    await world.mediator.send(Count())
    first, second = await world.stream("Counter", "c-1"), await world.stream("Counter", "c-2")
    assert [event.version for event in first] == [1, 2, 3, 4]
    assert [event.version for event in second] == [1, 2]
    decoded = [JsonMessageCodec().decode(Counted, event.payload) for event in first]
    assert [event.value for event in decoded] == [1, 2, 3, 4]


async def test_a_stored_event_carries_name_schema_time_and_ids(world: World) -> None:
    command = Count()
    response = await world.mediator.send(command)
    stored, event = (await world.stream("Counter", "c-1"))[0], response.events[0]
    assert (stored.event_type, stored.schema_version) == ("shop.counted", 4)
    assert (stored.event_id, stored.occurred_at) == (event.event_id, event.occurred_at)
    assert stored.correlation_id == stored.causation_id == command.command_id
    assert stored.recorded_at is not None


async def test_a_failed_command_leaves_no_event(world: World) -> None:
    with pytest.raises(LookupError):
        await world.mediator.send(Count(fail=True))
    assert await world.store.latest_position() == 0


async def test_an_event_of_no_aggregate_goes_into_a_stream_of_its_type(world: World) -> None:
    await world.mediator.send(Count(extra=(Announced(), Beeped(loud=True))))
    assert len(await world.stream("Announced")) == 1
    (beeped,) = await world.stream("Beeped")
    assert JsonMessageCodec().decode(Beeped, beeped.payload) == Beeped(loud=True)


async def test_the_feed_has_the_events_of_a_command_together(world: World) -> None:
    await world.mediator.send(Count(counters=("c-1", "c-2")))
    feed = [event async for event in world.store.read_all()]
    assert [event.position for event in feed] == [1, 2, 3, 4]
    assert [str(event.stream) for event in feed] == ["Counter/c-1"] * 2 + ["Counter/c-2"] * 2


async def test_events_are_kept_for_their_tenant_and_only_those_selected(world: World) -> None:
    sink = EventStorePersistenceMiddleware(
        world.store,
        tenant_of=lambda event: "acme",
        selects=lambda event: isinstance(event, Counted),
    )
    async with CounterUnitOfWork(world.database) as uow:
        counted = Counted(aggregate_id="c-1", aggregate_type="Counter", value=1)
        await sink.save_events([counted, Announced()], uow)
        await sink.save_events([Announced()], uow)
    (stored,) = (await world.store.read_feed()).events
    assert stored.stream == StreamId("Counter", "c-1", "acme")
