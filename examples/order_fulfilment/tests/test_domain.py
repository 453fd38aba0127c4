"""The rules of orders and cancellations."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from order_fulfilment.domain import (
    Cancellation,
    CancellationMatched,
    CancellationRecorded,
    Line,
    NotSoldError,
    Order,
    OrderExtended,
    OrderPlaced,
    match,
)

NOON = datetime(2010, 12, 1, 12, tzinfo=UTC)
ADA = 17850


def line(number: int = 2, quantity: int = 6, **changes: Any) -> Line:
    values: dict[str, Any] = {
        "file": "a",
        "number": number,
        "stock_code": "71053",
        "description": "WHITE METAL LANTERN",
        "quantity": quantity,
        "unit_price": Decimal("3.39"),
        "at": NOON,
        "country": "France",
    }
    return Line(**{**values, **changes})


def order(
    *lines: Line, customer_id: int | None = ADA, number: str = "536365", at: datetime = NOON
) -> Order:
    placed = Order.open(number, at)
    assert placed.enter(customer_id, lines) == []
    return placed


def cancellation(*lines: Line, customer_id: int | None = ADA, at: datetime = NOON) -> Cancellation:
    recorded = Cancellation.open("C536379", at)
    assert recorded.enter(customer_id, lines) == []
    return recorded


def test_an_order_is_placed_with_its_first_lines_and_extended_with_further_ones() -> None:
    placed = order(line(2), line(3))
    placed.enter(ADA, [line(4)])
    first, second = placed.clear_events()
    assert (type(first), len(first.lines), first.aggregate_id) == (OrderPlaced, 2, "536365")
    assert (type(second), len(second.lines)) == (OrderExtended, 1)


def test_equal_lines_of_one_file_are_all_taken() -> None:
    assert len(order(line(2), line(3)).lines) == 2


def test_a_line_recorded_twice_is_taken_once_and_without_a_second_event() -> None:
    placed = order(line(2))
    assert placed.enter(ADA, [line(2)]) == []
    assert len(placed.lines) == 1
    assert len(placed.clear_events()) == 1


def test_a_line_that_another_file_has_brought_is_refused_and_a_new_one_is_taken() -> None:
    placed = order(line(2))
    [refused] = placed.enter(ADA, [line(9, file="b"), line(10, file="b", stock_code="22752")])
    assert "another file" in refused.reason
    assert refused.line.number == 9
    assert [taken.number for taken in placed.lines] == [2, 10]


@pytest.mark.parametrize("quantity", [0, -1])
def test_an_order_hands_goods_out(quantity: int) -> None:
    placed = Order.open("536365", NOON)
    [refused] = placed.enter(ADA, [line(quantity=quantity)])
    assert refused.reason == f"an order hands goods out, but the quantity is {quantity}"
    assert (placed.lines, placed.pending_events) == ((), ())


@pytest.mark.parametrize("quantity", [0, 1])
def test_a_cancellation_takes_goods_back(quantity: int) -> None:
    recorded = Cancellation.open("C536379", NOON)
    [refused] = recorded.enter(ADA, [line(quantity=quantity)])
    assert "takes goods back" in refused.reason


def test_a_price_may_be_nothing_but_not_less() -> None:
    placed = order(line(unit_price=Decimal(0)))
    [refused] = placed.enter(ADA, [line(3, unit_price=Decimal("-11062.06"))])
    assert "-11062.06 is negative" in refused.reason


def test_a_customer_who_was_unknown_becomes_known() -> None:
    placed = order(line(2), customer_id=None)
    assert placed.enter(ADA, [line(3)]) == []
    assert placed.enter(None, [line(4)]) == []
    assert (placed.customer_id, len(placed.lines)) == (17850, 3)


def test_a_cancellation_refers_to_the_latest_order_that_has_the_goods_left() -> None:
    early = order(line(2), number="1", at=NOON - timedelta(hours=3))
    late = order(line(3), number="2", at=NOON - timedelta(hours=2))
    too_small = order(line(4, quantity=1), number="3", at=NOON - timedelta(hours=1))
    after = order(line(5), number="4", at=NOON + timedelta(hours=1))
    stranger = order(line(6), number="5", customer_id=1)
    returned = cancellation(line(7, quantity=-4))
    assert match(returned, [early, late, too_small, after, stranger])
    assert returned.order_id == "2"
    assert [type(e) for e in returned.clear_events()] == [CancellationRecorded, CancellationMatched]


def test_more_than_was_sold_cannot_come_back() -> None:
    sold = order(line(quantity=6))
    cancellation(line(3, quantity=-4)).refer_to(sold)
    with pytest.raises(NotSoldError, match="has 2 of 71053 left to return, not 4"):
        cancellation(line(4, quantity=-4)).refer_to(sold)
    assert sold.returned == {"71053": 4}


def test_a_cancellation_without_an_order_stays_open() -> None:
    returned = cancellation(line(quantity=-1))
    assert not match(returned, [order(line(2, stock_code="22752"))])
    assert returned.order_id is None


def test_the_order_of_an_unknown_customer_is_not_guessed() -> None:
    returned = cancellation(line(7, quantity=-4), customer_id=None)
    assert not match(returned, [order(line(2), customer_id=None)])
