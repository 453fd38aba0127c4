"""Events of a user's own classes are kept each as itself."""

from dataclasses import dataclass
from typing import Any

from cqrs_ddd_advanced_core import EventSourcedAggregate, EventSourcedRepository
from cqrs_ddd_core import (
    Command,
    EventTypeRegistry,
    HandlerRegistry,
    InMemoryEventStore,
    InMemoryUnitOfWork,
    Mediator,
    StreamId,
)


@dataclass(frozen=True)
class Counted:
    """An event that has no id of its own."""

    number: int


class Tally(EventSourcedAggregate[str]):
    numbers: list[int] = []

    def apply_Counted(self, event: Counted) -> None:  # noqa: N802 - the event's name
        self.numbers.append(event.number)


class Count(Command[None]):
    upto: int


async def test_events_without_an_id_are_not_taken_for_each_other() -> None:
    store, types = InMemoryEventStore(), EventTypeRegistry()
    types.add(Counted)
    tallies = EventSourcedRepository(event_store=store, aggregate_cls=Tally, event_registry=types)

    async def count(command: Count) -> None:
        tally = Tally(id="t-1")
        for number in range(command.upto):
            tally.record(Counted(number))
        await tallies.add(tally)

    registry = HandlerRegistry()
    registry.register_command_handler(Count, count)
    await Mediator(registry, InMemoryUnitOfWork).send(Count(upto=3))
    stored: list[Any] = [event async for event in store.read_stream(StreamId("Tally", "t-1"))]
    assert len({event.payload for event in stored}) == 3
    assert (await tallies.require("t-1")).numbers == [0, 1, 2]
