"""Aggregates: identity, pending events and the version in the store."""

from copy import deepcopy
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from pydantic import Field, ValidationError

from cqrs_ddd_core import (
    AggregateRoot,
    AggregateRootMixin,
    DomainEvent,
    IAggregate,
    restore_version,
)


class OrderPlaced(DomainEvent):
    total: int


class Order(AggregateRoot[str]):
    total: int = 0
    notes: list[str] = Field(default_factory=list)

    def place(self) -> None:
        self.add_event(OrderPlaced(total=self.total))


class Invoice(AggregateRoot[UUID]):
    pass


@dataclass
class Basket(AggregateRootMixin):
    id: int


@dataclass(frozen=True)
class BasketFilled:
    basket: int


class Ticket(AggregateRootMixin):
    def __init__(self, ticket_id: str) -> None:
        self.id = ticket_id


def test_a_new_aggregate_has_version_0_and_no_events() -> None:
    order = Order(id="o-1")
    assert (order.version, order.pending_events) == (0, ())


def test_an_aggregate_can_be_rebuilt_at_a_version() -> None:
    assert Order(id="o-1", _version=7).version == 7


def test_the_version_cannot_be_assigned() -> None:
    order = Order(id="o-1")
    with pytest.raises(AttributeError):
        setattr(order, "version", 3)  # noqa: B010 - a type checker refuses the plain form
    assert order.version == 0


def test_a_store_tells_the_version_it_holds() -> None:
    order, basket = Order(id="o-1"), Basket(1)
    restore_version(order, 4)
    restore_version(basket, 5)
    assert (order.version, basket.version) == (4, 5)


def test_fields_can_be_changed_and_lists_are_not_shared() -> None:
    first, second = Order(id="o-1"), Order(id="o-2")
    first.total = 5
    first.notes.append("fragile")
    assert (first.total, second.total, second.notes) == (5, 0, [])


def test_data_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(ValidationError, match="total"):
        Order.model_validate({"id": "o-1", "total": "many"})


def test_events_wait_in_the_order_they_were_recorded() -> None:
    order = Order(id="o-1")
    order.add_event(OrderPlaced(total=1))
    order.add_event(OrderPlaced(total=2))
    assert [event.total for event in order.pending_events] == [1, 2]


def test_clearing_returns_the_events_once() -> None:
    order = Order(id="o-1")
    order.place()
    (event,) = order.clear_events()
    assert event.total == 0
    assert order.clear_events() == []
    assert order.pending_events == ()


def test_a_cleared_list_is_not_changed_by_later_events() -> None:
    order = Order(id="o-1")
    order.place()
    taken = order.clear_events()
    order.place()
    assert len(taken) == 1


def test_a_recorded_event_names_its_aggregate() -> None:
    order = Order(id="o-1")
    order.place()
    (event,) = order.pending_events
    assert (event.aggregate_id, event.aggregate_type) == ("o-1", "Order")


def test_an_event_that_names_another_aggregate_keeps_it() -> None:
    order = Order(id="o-1")
    order.add_event(OrderPlaced(total=1, aggregate_id="x", aggregate_type="Other"))
    (event,) = order.pending_events
    assert (event.aggregate_id, event.aggregate_type) == ("x", "Other")


def test_an_id_that_is_no_text_is_text_in_the_event() -> None:
    invoice = Invoice(id=uuid4())
    invoice.add_event(OrderPlaced(total=1))
    assert invoice.pending_events[0].aggregate_id == str(invoice.id)


def test_events_of_any_class_can_be_recorded() -> None:
    basket = Basket(3)
    basket.add_event(BasketFilled(3))
    assert basket.clear_events() == [BasketFilled(3)]


@pytest.mark.parametrize("make", [Basket, Ticket])
def test_the_mixin_gives_a_class_of_your_own_events_and_a_version(
    make: type[Basket] | type[Ticket],
) -> None:
    first, second = make("b-1"), make("b-2")  # pyright: ignore[reportArgumentType]
    first.add_event("filled")
    assert (first.version, first.pending_events, second.pending_events) == (0, ("filled",), ())


def test_a_copy_has_events_and_version_of_its_own() -> None:
    order = Order(id="o-1", _version=2)
    order.place()
    copied = deepcopy(order)
    copied.clear_events()
    assert len(order.pending_events) == 1
    assert copied.version == 2


def test_events_and_version_are_no_part_of_the_dumped_state() -> None:
    order = Order(id="o-1", _version=2)
    order.place()
    assert order.model_dump() == {"id": "o-1", "total": 0, "notes": []}


@pytest.mark.parametrize("aggregate", [Order(id="o-1"), Basket(1), Ticket("t-1")])
def test_every_form_of_aggregate_meets_the_protocol(aggregate: object) -> None:
    assert isinstance(aggregate, IAggregate)
