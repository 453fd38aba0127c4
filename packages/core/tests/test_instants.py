"""A datetime without a zone is read as UTC, wherever it is given."""
# ruff: noqa: DTZ001 - naive datetimes are what these tests are about

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, Field

from cqrs_ddd_core import (
    AggregateRoot,
    AggregateRootMixin,
    Command,
    DomainEvent,
    EventTypeRegistry,
    InMemoryDatabase,
    InMemoryUnitOfWork,
    Query,
    ValueObject,
    repository,
)
from cqrs_ddd_core.primitives.instants import with_zones
from cqrs_ddd_core.testing import ManualClock

NAIVE = datetime(2026, 3, 29, 2, 30)
AWARE = NAIVE.replace(tzinfo=UTC)


class Moment(ValueObject):
    at: datetime


class Shipped(DomainEvent):
    at: datetime
    maybe: datetime | None = None
    on: datetime | date = date(2026, 1, 1)
    many: list[datetime] = Field(default_factory=list[datetime])
    by_name: dict[str, tuple[datetime, int]] = Field(
        default_factory=dict[str, tuple[datetime, int]]
    )
    moment: Moment | None = None
    by_default: datetime = NAIVE
    made: datetime = Field(default_factory=lambda: NAIVE)


class Ship(Command[None]):
    at: datetime


class FindShipped(Query[int]):
    since: datetime


class Parcel(AggregateRoot[str]):
    shipped_at: datetime


class Node(ValueObject):
    at: datetime
    below: list["Node"] = Field(default_factory=list["Node"])


def test_every_datetime_of_an_event_has_a_zone_once_it_is_made() -> None:
    event = Shipped(
        at=NAIVE,
        maybe=NAIVE,
        on=NAIVE,
        many=[NAIVE, AWARE],
        by_name={"first": (NAIVE, 1)},
        moment=Moment(at=NAIVE),
    )
    assert event.moment is not None
    assert [event.at, event.maybe, event.on, event.moment.at] == [AWARE] * 4
    assert event.many == [AWARE, AWARE]
    assert event.by_name == {"first": (AWARE, 1)}
    assert [event.by_default, event.made] == [AWARE, AWARE]
    assert Shipped(at=NAIVE).on == date(2026, 1, 1)


def test_so_has_one_of_a_command_a_query_an_aggregate_and_a_value() -> None:
    assert Ship(at=NAIVE).at == AWARE
    assert FindShipped(since=NAIVE).since == AWARE
    assert Parcel(id="p-1", shipped_at=NAIVE).shipped_at == AWARE
    assert Node(at=AWARE, below=[Node(at=NAIVE)]).below[0].at == AWARE
    assert Shipped.model_validate_json('{"at": "2026-03-29T02:30:00"}').at == AWARE


def test_an_instant_with_a_zone_stays_the_same_instant() -> None:
    there = datetime(2026, 3, 29, 4, 30, tzinfo=timezone(timedelta(hours=2)))
    assert Ship(at=there).at == AWARE


def test_the_schema_of_a_model_still_says_that_it_is_a_datetime() -> None:
    properties = Shipped.model_json_schema()["properties"]
    assert properties["at"]["format"] == "date-time"


def test_a_manual_clock_that_starts_without_a_zone_starts_in_utc() -> None:
    assert ManualClock(NAIVE).now() == AWARE


class Stop(NamedTuple):
    city: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Slotted:
    at: datetime


class Plain(BaseModel):
    at: datetime


@dataclass
class Journey(AggregateRootMixin):
    id: str
    starts_at: datetime
    stops: tuple[Stop, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict[str, Any])


class TravelUnitOfWork(InMemoryUnitOfWork):
    journeys = repository(Journey)
    parcels = repository(Parcel)


async def test_what_is_stored_in_memory_has_its_zones_in_every_kind_of_value() -> None:
    database = InMemoryDatabase()
    extra = {
        "set": {NAIVE},
        "frozen": frozenset({NAIVE}),
        "slotted": Slotted(NAIVE),
        "plain": Plain(at=NAIVE),
        "list": [NAIVE, "text", None],
    }
    async with TravelUnitOfWork(database) as uow:
        journey = Journey("j-1", NAIVE, (Stop("Rīga", NAIVE),), extra)
        await uow.journeys.add(journey)
    async with TravelUnitOfWork(database) as uow:
        stored = await uow.journeys.require("j-1")
    assert (stored.starts_at, stored.stops) == (AWARE, (Stop("Rīga", AWARE),))
    assert stored.extra == {
        "set": {AWARE},
        "frozen": frozenset({AWARE}),
        "slotted": Slotted(AWARE),
        "plain": Plain(at=AWARE),
        "list": [AWARE, "text", None],
    }
    assert journey.extra["list"][0] is NAIVE  # only the stored copy was changed


async def test_what_is_assigned_without_a_zone_is_loaded_with_one() -> None:
    database = InMemoryDatabase()
    async with TravelUnitOfWork(database) as uow:
        parcel = Parcel(id="p-1", shipped_at=AWARE)
        await uow.parcels.add(parcel)
        parcel.shipped_at = NAIVE
    async with TravelUnitOfWork(database) as uow:
        assert (await uow.parcels.require("p-1")).shipped_at == AWARE


@pytest.mark.parametrize(
    "payload", ['{"at": "2026-03-29T02:30:00"}', {"at": NAIVE}], ids=["JSON", "mapping"]
)
@pytest.mark.parametrize("event_class", [Shipped, Plain, Slotted])
def test_a_stored_event_is_hydrated_with_zones(event_class: type, payload: Any) -> None:
    types = EventTypeRegistry()
    types.register("shipped", event_class)
    assert types.hydrate("shipped", payload).at == AWARE


def test_what_is_no_instant_is_left_alone() -> None:
    for value in ("2026-03-29", 1, None, date(2026, 3, 29), object(), Slotted):
        assert with_zones(value) is value
