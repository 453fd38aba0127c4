"""Event sourcing with snapshots and upcasters, called as it is documented."""
# ruff: noqa: N802 - apply methods are named after their events

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from cqrs_ddd_advanced_core.event_sourcing import EventSourcedMediator, EventSourcedRepository
from cqrs_ddd_advanced_core.snapshots import EveryNEventsStrategy, JSONSnapshotSerializer
from cqrs_ddd_advanced_core.upcasting import EventUpcaster, UpcasterRegistry
from cqrs_ddd_core import HandlerRegistry
from cqrs_ddd_core.domain import AggregateRoot, DomainEvent
from cqrs_ddd_core.ports import ExpectedVersion, StoredEvent, StreamId
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemySnapshotStore,
    create_engine,
    create_schema,
    create_session_factory,
)

LAMP_1 = StreamId("Lamp", "lamp-1")


class LampMade(DomainEvent):
    version: int = 2
    room: str = ""
    watts: int


class LampSwitched(DomainEvent):
    on: bool


class Lamp(AggregateRoot[str]):
    room: str = ""
    watts: int = 0
    on: bool = False
    switched: int = 0

    @classmethod
    def make(cls, lamp_id: str, room: str, watts: int) -> "Lamp":
        lamp = cls(id=lamp_id)
        lamp._happened(LampMade(aggregate_id=lamp_id, room=room, watts=watts))
        return lamp

    def switch(self) -> None:
        self._happened(LampSwitched(aggregate_id=self.id, on=not self.on))

    def apply_LampMade(self, event: LampMade) -> None:
        self.room, self.watts = event.room, event.watts

    def apply_LampSwitched(self, event: LampSwitched) -> None:
        self.on, self.switched = event.on, self.switched + 1

    def _happened(self, event: Any) -> None:
        getattr(self, f"apply_{type(event).__name__}")(event)
        self.add_event(event)


class LampMadeV1ToV2(EventUpcaster):
    supported_type = "LampMade"
    from_version = 1
    to_version = 2

    def upcast(self, payload: dict[str, Any]) -> dict[str, Any]:
        payload["watts"] = payload.get("watts", 40)
        if "place" in payload:
            payload["room"] = payload.pop("place")
        return payload


@dataclass
class House:
    event_store: SQLAlchemyEventStore
    snapshot_store: SQLAlchemySnapshotStore
    upcaster_registry: UpcasterRegistry

    def mediator(self) -> EventSourcedMediator:
        """A mediator as a process makes it when it starts."""
        return EventSourcedMediator(
            registry=HandlerRegistry(),
            event_store=self.event_store,
            snapshot_store=self.snapshot_store,
            snapshot_strategy=EveryNEventsStrategy(every_n=10),
            snapshot_serializer=JSONSnapshotSerializer(),
            upcaster_registry=self.upcaster_registry,
        )


@pytest.fixture
async def house(sqlite_url: str) -> AsyncIterator[House]:
    engine = create_engine(sqlite_url)
    session_factory = create_session_factory(engine)
    upcaster_registry = UpcasterRegistry()
    upcaster_registry.register(LampMadeV1ToV2())
    event_store = SQLAlchemyEventStore(
        session_factory=session_factory, upcaster_registry=upcaster_registry
    )
    snapshot_store = SQLAlchemySnapshotStore(session_factory)
    await create_schema(engine, event_store, snapshot_store)
    yield House(event_store, snapshot_store, upcaster_registry)
    await engine.dispose()


async def test_an_aggregate_is_saved_with_snapshots_and_loaded_again(house: House) -> None:
    lamp = Lamp.make("lamp-1", "hall", 60)
    for _ in range(25):
        lamp.switch()
    await house.mediator().save(lamp)
    snapshot = await house.snapshot_store.get_latest_snapshot(LAMP_1)
    assert snapshot is not None
    mediator = house.mediator()
    found = await mediator.load("lamp-1")
    replayed = await mediator.load("lamp-1", from_version=0)
    assert found == replayed
    assert (found.room, found.watts, found.on, found.switched) == ("hall", 60, True, 25)


async def test_a_repository_is_made_of_stores_and_a_class(house: House) -> None:
    lamps = EventSourcedRepository(
        event_store=house.event_store,
        snapshot_store=house.snapshot_store,
        aggregate_cls=Lamp,
        upcaster_registry=house.upcaster_registry,
    )
    await lamps.add(Lamp.make("lamp-1", "hall", 60))
    found = await lamps.get("lamp-1")
    assert found is not None
    assert found.watts == 60


async def test_events_of_an_old_schema_are_upcast_as_they_are_read(house: House) -> None:
    old = StoredEvent(
        event_id="e-1",
        event_type="LampMade",
        stream=LAMP_1,
        schema_version=1,
        payload=b'{"event_id": "e-1", "aggregate_id": "lamp-1", "place": "cellar"}',
        occurred_at=datetime(2020, 1, 1, tzinfo=UTC),
    )
    await house.event_store.append(LAMP_1, [old], ExpectedVersion.NO_STREAM)
    found = await house.mediator().load("lamp-1", aggregate_cls=Lamp)
    assert (found.room, found.watts) == ("cellar", 40)
