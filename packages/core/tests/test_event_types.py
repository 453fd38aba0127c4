"""The registry of event types: each name one class, each class one name."""

from dataclasses import dataclass
from typing import Any, Self

import pytest

from cqrs_ddd_core import (
    DomainEvent,
    EventPayloadError,
    EventTypeError,
    EventTypeRegistry,
    UnknownEventTypeError,
)


class OrderPlaced(DomainEvent):
    total: int


class OrderCancelled(DomainEvent):
    event_type = "shop.order-cancelled"
    reason: str


@dataclass
class Shipped:
    order: str


class Weighed:
    def __init__(self, grams: int) -> None:
        self.grams = grams

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        return cls(data["grams"])


class Opaque:
    pass


@pytest.fixture
def types() -> EventTypeRegistry:
    registry = EventTypeRegistry()
    registry.add(OrderPlaced, OrderCancelled, Shipped)
    return registry


def test_classes_are_found_under_the_names_they_give_themselves(types: EventTypeRegistry) -> None:
    assert types.list_registered() == ["OrderPlaced", "Shipped", "shop.order-cancelled"]
    assert types.get("shop.order-cancelled") is OrderCancelled
    assert types.has("Shipped")
    assert not types.has("Lost")
    assert types.get("Lost") is None


def test_an_explicit_name_wins_over_the_classs_own() -> None:
    types = EventTypeRegistry()
    types.register("shop.placed", OrderPlaced)
    assert types.name_of(OrderPlaced) == "shop.placed"
    assert types.name_of(OrderCancelled) == "shop.order-cancelled"


def test_registering_the_same_twice_is_no_harm(types: EventTypeRegistry) -> None:
    types.add(OrderPlaced)
    assert types.get("OrderPlaced") is OrderPlaced


def test_a_name_belongs_to_one_class(types: EventTypeRegistry) -> None:
    with pytest.raises(EventTypeError, match="names OrderPlaced already; choose another name"):
        types.register("OrderPlaced", Shipped)


def test_a_class_has_one_name(types: EventTypeRegistry) -> None:
    with pytest.raises(EventTypeError, match="stored as 'OrderPlaced' already"):
        types.register("shop.placed", OrderPlaced)


def test_a_payload_becomes_an_event(types: EventTypeRegistry) -> None:
    assert types.hydrate("OrderPlaced", {"total": 3}).total == 3
    assert types.hydrate("OrderPlaced", b'{"total": 4}').total == 4
    assert types.hydrate("OrderPlaced", '{"total": 5}').total == 5
    assert types.hydrate("Shipped", {"order": "o-1"}) == Shipped("o-1")


def test_a_stored_event_comes_back_as_it_was(types: EventTypeRegistry) -> None:
    event = OrderPlaced(total=3, aggregate_id="o-1", metadata={"by": "Ada"})
    assert types.hydrate("OrderPlaced", event.model_dump_json()) == event


def test_a_class_of_your_own_is_made_by_its_from_dict(types: EventTypeRegistry) -> None:
    types.add(Weighed)
    assert types.hydrate("Weighed", {"grams": 5}).grams == 5
    assert types.hydrate("Weighed", b'{"grams": 6}').grams == 6
    with pytest.raises(EventPayloadError, match="grams"):
        types.hydrate("Weighed", {"pounds": 5})


def test_a_class_that_cannot_be_made_from_data_is_an_error(types: EventTypeRegistry) -> None:
    types.add(Opaque)
    with pytest.raises(EventTypeError, match="from_dict"):
        types.hydrate("Opaque", {})


def test_an_unknown_name_is_an_error_with_a_suggestion(types: EventTypeRegistry) -> None:
    with pytest.raises(UnknownEventTypeError, match="Did you mean 'OrderPlaced'") as caught:
        types.hydrate("OrderPlacd", {})
    assert caught.value.event_type == "OrderPlacd"


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "total"),
        ({"total": "many"}, "total"),
        ({"total": 1, "occurred_at": "yesterday"}, "occurred_at"),
        (b"{", "payload"),
        (b"[]", "payload"),
        ("", "payload"),
    ],
)
def test_a_payload_that_does_not_fit_is_an_error_and_never_none(
    types: EventTypeRegistry, payload: Any, field: str
) -> None:
    with pytest.raises(EventPayloadError, match="upcaster") as caught:
        types.hydrate("OrderPlaced", payload)
    assert caught.value.event_class is OrderPlaced
    assert list(caught.value.problems) == [field]


def test_a_cleared_registry_knows_nothing(types: EventTypeRegistry) -> None:
    types.clear()
    assert types.list_registered() == []
    types.register("Shipped", OrderPlaced)
    assert types.get("Shipped") is OrderPlaced
