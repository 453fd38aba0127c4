"""Messages as JSON: what comes back equals what went in, or an error says why not."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Self
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, computed_field

from cqrs_ddd_core import (
    Command,
    DomainEvent,
    IMessageCodec,
    JsonMessageCodec,
    MessageCodecError,
    ValueObject,
)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Money(ValueObject):
    amount: Decimal
    currency: str = "EUR"


class OrderPlaced(DomainEvent):
    total: Money
    colours: tuple[Colour, ...] = ()
    due: date | None = None
    wait: timedelta = timedelta(0)
    key: UUID | None = None
    weight: float = 0.0
    notes: dict[str, list[int]] = Field(default_factory=dict)
    tags: frozenset[str] = frozenset()


class PlaceOrder(Command[str]):
    customer_id: str


@dataclass(frozen=True)
class Shipped:
    order: str
    at: datetime
    costs: Decimal
    labels: list[str] = field(default_factory=list[str])


class Measured:
    def __init__(self, grams: int) -> None:
        self.grams = grams

    def to_dict(self) -> dict[str, Any]:
        return {"grams": self.grams, "of": Decimal("1.5")}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        return cls(data["grams"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Measured) and other.grams == self.grams

    __hash__ = None  # type: ignore[assignment]


class Opaque:
    pass


class Loose(BaseModel):
    value: Any


class Aliased(DomainEvent):
    customer_id: str = Field(alias="customerId")


class Computed(DomainEvent):
    model_config = ConfigDict(extra="forbid")

    price: int

    @computed_field
    def doubled(self) -> int:
        return self.price * 2


codec = JsonMessageCodec()


@given(
    st.builds(
        OrderPlaced,
        total=st.builds(Money, amount=st.decimals(allow_nan=False, allow_infinity=False)),
        colours=st.lists(st.sampled_from(Colour), max_size=3).map(tuple),
        due=st.none() | st.dates(),
        wait=st.timedeltas(timedelta(days=-1000), timedelta(days=1000)),
        key=st.none() | st.uuids(),
        weight=st.floats(allow_nan=False),
        notes=st.dictionaries(st.text(), st.lists(st.integers(-(2**53), 2**53), max_size=2)),
        tags=st.frozensets(st.text(), max_size=3),
        occurred_at=st.datetimes(timezones=st.just(UTC)),
        aggregate_id=st.none() | st.text(),
    )
)
def test_an_event_comes_back_as_it_went_in(event: OrderPlaced) -> None:
    assert codec.decode(OrderPlaced, codec.encode(event)) == event


def test_a_command_comes_back_as_it_went_in() -> None:
    command = PlaceOrder(customer_id="c-1", correlation_id="request-7")
    assert codec.decode(PlaceOrder, codec.encode(command)) == command


def test_a_dataclass_comes_back_as_it_went_in() -> None:
    shipped = Shipped("o-1", datetime(2026, 1, 1, tzinfo=UTC), Decimal("1.10"), ["fragile"])
    assert codec.decode(Shipped, codec.encode(shipped)) == shipped


def test_a_class_of_your_own_comes_back_by_its_own_words() -> None:
    encoded = codec.encode(Measured(5))
    assert encoded == b'{"grams":5,"of":"1.5"}'
    assert codec.decode(Measured, encoded) == Measured(5)


@pytest.mark.parametrize("weight", [float("inf"), float("-inf")])
def test_numbers_that_json_does_not_know_come_back_too(weight: float) -> None:
    event = OrderPlaced(total=Money(amount=Decimal(1)), weight=weight)
    assert codec.decode(OrderPlaced, codec.encode(event)) == event


def test_a_field_with_an_alias_comes_back() -> None:
    event = Aliased(customerId="c-1")
    assert codec.decode(Aliased, codec.encode(event)) == event
    assert codec.decode(Aliased, b'{"customerId": "c-2"}').customer_id == "c-2"


def test_what_is_computed_is_not_stored() -> None:
    event = Computed(price=2)
    assert b"doubled" not in codec.encode(event)
    assert codec.decode(Computed, codec.encode(event)) == event


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"customer_id": 3}', b"\xff"])
def test_bytes_that_do_not_fit_are_an_error(data: bytes) -> None:
    with pytest.raises(MessageCodecError, match="PlaceOrder: does not fit these bytes") as caught:
        codec.decode(PlaceOrder, data)
    assert caught.value.message_type is PlaceOrder


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"pounds": 3}', b"\xff"])
def test_bytes_that_a_class_of_your_own_cannot_read_are_an_error(data: bytes) -> None:
    with pytest.raises(MessageCodecError, match="Measured: does not fit"):
        codec.decode(Measured, data)


@given(st.binary(max_size=40))
def test_no_bytes_ever_raise_anything_else(data: bytes) -> None:
    for message_type in (PlaceOrder, OrderPlaced, Shipped, Measured):
        try:
            decoded = codec.decode(message_type, data)
        except MessageCodecError:
            continue
        assert isinstance(decoded, message_type)


def test_a_class_without_fields_or_words_is_an_error_with_the_fix() -> None:
    with pytest.raises(MessageCodecError, match=r"give it to_dict\(self\) and a class method"):
        codec.encode(Opaque())
    with pytest.raises(MessageCodecError, match="from_dict"):
        codec.decode(Opaque, b"{}")


def test_a_value_that_json_cannot_hold_is_an_error() -> None:
    with pytest.raises(MessageCodecError, match="Loose: cannot be written as JSON"):
        codec.encode(Loose(value=object()))


def test_ids_times_and_amounts_survive() -> None:
    event = OrderPlaced(total=Money(amount=Decimal("0.10")), key=uuid4())
    decoded = codec.decode(OrderPlaced, codec.encode(event))
    assert (decoded.key, decoded.occurred_at) == (event.key, event.occurred_at)
    assert str(decoded.total.amount) == "0.10"


def test_the_codec_meets_the_port() -> None:
    assert isinstance(codec, IMessageCodec)
    assert codec.content_type == "application/json"
