"""Events: names, times, ids and what is added to them on their way."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from cqrs_ddd_core import (
    DomainEvent,
    ValueObject,
    enrich_event_metadata,
    event_type_of,
    schema_version_of,
    use_clock,
    use_ids,
)
from cqrs_ddd_core.testing import ManualClock, SequentialIds


class Money(ValueObject):
    amount: Decimal
    currency: str


class OrderPlaced(DomainEvent):
    total: Money | None = None


class OrderCancelled(DomainEvent):
    event_type = "shop.order-cancelled"
    version: int = 3


class OrderCancelledByCustomer(OrderCancelled):
    pass


@dataclass(frozen=True)
class Shipped:
    order: str
    correlation_id: str | None = None
    causation_id: str | None = None
    version: int = 2


@dataclass
class Weighed:
    grams: int


class Noted:
    event_type = "shop.noted"


def test_an_event_cannot_be_changed() -> None:
    event = OrderPlaced()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(event, "version", 2)  # noqa: B010 - a type checker refuses the plain form


def test_an_event_carries_a_time_in_utc_and_an_id_of_its_own() -> None:
    first, second = OrderPlaced(), OrderPlaced()
    assert first.occurred_at.tzinfo is UTC
    assert first.event_id != second.event_id
    assert UUID(first.event_id).version == 7


def test_time_and_id_come_from_clock_and_generator() -> None:
    clock = ManualClock()
    with use_clock(clock), use_ids(SequentialIds("event")):
        event = OrderPlaced()
    assert (event.occurred_at, event.event_id) == (clock.now(), "event-1")


def test_a_naive_time_is_read_as_utc() -> None:
    event = OrderPlaced(occurred_at=datetime(2026, 5, 1, 12))  # noqa: DTZ001
    assert event.occurred_at == datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_a_time_in_another_zone_becomes_the_same_moment_in_utc() -> None:
    in_riga = datetime(2026, 5, 1, 15, tzinfo=timezone(timedelta(hours=3)))
    event = OrderPlaced(occurred_at=in_riga)
    assert event.occurred_at == in_riga
    assert event.occurred_at.utcoffset() == timedelta(0)


def test_an_event_is_named_after_its_class_unless_it_names_itself() -> None:
    assert event_type_of(OrderPlaced) == "OrderPlaced"
    assert event_type_of(OrderCancelled) == "shop.order-cancelled"
    assert event_type_of(Shipped) == "Shipped"
    assert event_type_of(Noted) == "shop.noted"


def test_a_derived_event_does_not_inherit_the_name() -> None:
    assert event_type_of(OrderCancelledByCustomer) == "OrderCancelledByCustomer"


def test_the_schema_version_is_1_unless_the_class_says_otherwise() -> None:
    versions = [schema_version_of(cls) for cls in (OrderPlaced, OrderCancelled, Shipped, Noted)]
    assert versions == [1, 3, 2, 1]


def test_equal_events_are_equal_by_value_and_hash_alike() -> None:
    event = OrderPlaced(metadata={"tags": ["a", "b"]})
    same = OrderPlaced.model_validate(event.model_dump())
    assert event == same
    assert hash(event) == hash(same) != hash(OrderPlaced())


def test_a_nested_value_object_comes_back_from_json() -> None:
    event = OrderPlaced(total=Money(amount=Decimal("1.10"), currency="EUR"))
    assert OrderPlaced.model_validate_json(event.model_dump_json()) == event


@pytest.mark.parametrize("aggregate_id", [7, uuid4()])
def test_an_aggregate_id_becomes_text(aggregate_id: object) -> None:
    event = OrderPlaced.model_validate({"aggregate_id": aggregate_id})
    assert event.aggregate_id == str(aggregate_id)


def test_ids_are_added_to_a_copy() -> None:
    event = OrderPlaced()
    enriched = enrich_event_metadata(event, correlation_id="c-1", causation_id="m-1")
    assert (enriched.correlation_id, enriched.causation_id) == ("c-1", "m-1")
    assert (event.correlation_id, event.causation_id) == (None, None)
    assert enriched.event_id == event.event_id


def test_ids_that_an_event_carries_already_are_kept() -> None:
    event = OrderPlaced(correlation_id="own")
    enriched = enrich_event_metadata(event, correlation_id="c-1", causation_id="m-1")
    assert (enriched.correlation_id, enriched.causation_id) == ("own", "m-1")


def test_an_event_that_has_all_its_ids_is_not_copied() -> None:
    event = OrderPlaced(correlation_id="c", causation_id="m")
    assert enrich_event_metadata(event, correlation_id="x", causation_id="y") is event


def test_a_dataclass_with_fields_for_them_gets_the_ids() -> None:
    enriched = enrich_event_metadata(Shipped("o-1"), correlation_id="c-1", causation_id="m-1")
    assert enriched == Shipped("o-1", "c-1", "m-1")


@pytest.mark.parametrize("event", [Weighed(5), Noted(), "just text"])
def test_an_event_without_such_fields_stays_as_it_is(event: object) -> None:
    assert enrich_event_metadata(event, correlation_id="c-1", causation_id="m-1") is event
