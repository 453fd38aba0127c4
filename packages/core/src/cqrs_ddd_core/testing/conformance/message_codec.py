"""What every codec promises: what comes back equals what went in, or there is an error."""
# ruff: noqa: D102 - test names are sentences

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Self, cast
from uuid import UUID

import pytest

from cqrs_ddd_core.cqrs.codec import MessageCodecError
from cqrs_ddd_core.cqrs.message import Command
from cqrs_ddd_core.domain.event import DomainEvent
from cqrs_ddd_core.ports.message_codec import IMessageCodec
from cqrs_ddd_core.testing.conformance.samples import (
    PLACED_AT,
    REFERENCE,
    Address,
    Money,
    OrderLine,
    OrderStatus,
)


class OrderPlaced(DomainEvent):
    """An event with a value of every kind."""

    total: Decimal
    status: OrderStatus
    reference: UUID
    placed_at: datetime
    due_on: date
    at: time
    within: timedelta
    weight: float
    quantity: int
    paid: bool
    lines: list[OrderLine]
    sizes: tuple[int, ...]
    tags: frozenset[str]
    prices: dict[str, Money]
    ship_to: Address | None = None
    note: str | None = None


class PlaceOrder(Command[str]):
    """A command."""

    order_id: str
    lines: list[OrderLine]


@dataclass(frozen=True)
class Parcel:
    """A dataclass, nested in another."""

    reference: UUID
    weights: list[float]


@dataclass
class ParcelsSent:
    """A message as a dataclass."""

    sent_at: datetime
    parcels: list[Parcel]
    by_city: dict[str, Parcel] = field(default_factory=dict[str, Parcel])
    total: Decimal = Decimal(0)


class Greeting:
    """A class of the user's own, which knows its data."""

    def __init__(self, text: str, times: int) -> None:
        self.text, self.times = text, times

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Greeting) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((self.text, self.times))

    def to_dict(self) -> dict[str, Any]:
        """Return the data."""
        return {"text": self.text, "times": self.times}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the greeting of the data."""
        return cls(data["text"], data["times"])


class Opaque:
    """A class of the user's own, which no codec can look into."""

    __slots__ = ("stream",)

    def __init__(self) -> None:
        self.stream = iter(())


_LINE = OrderLine(sku="é", quantity=1, price=Money(amount=Decimal("0.10")))
_MESSAGES: list[Any] = [
    OrderPlaced(
        aggregate_id="o-1",
        metadata={"user": "u-1", "nested": [1, None, {"a": True}]},
        correlation_id="request-1",
        causation_id="command-1",
        total=Decimal("12345678901234567890.123456789"),
        status=OrderStatus.SHIPPED,
        reference=REFERENCE,
        placed_at=datetime(2026, 3, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=-5))),
        due_on=date(2028, 2, 29),
        at=time(23, 59, 59, 999999),
        within=timedelta(days=-1, microseconds=1),
        weight=0.1 + 0.2,
        quantity=2**70,
        paid=True,
        lines=[_LINE, _LINE],
        sizes=(1, 2),
        tags=frozenset({"a", "ü"}),
        prices={"": Money(amount=Decimal("1E+3")), "a.b": Money(amount=Decimal("-0.00"))},
        ship_to=Address(city="Rīga \u2028 😀"),
    ),
    PlaceOrder(order_id='quotes " and \\ \n', lines=[_LINE], correlation_id="request-1"),
    PlaceOrder(order_id="", lines=[]),
    ParcelsSent(
        sent_at=PLACED_AT,
        parcels=[Parcel(REFERENCE, [0.5, -1e300])],
        by_city={"Rīga": Parcel(REFERENCE, [])},
        total=Decimal("1.10"),
    ),
    ParcelsSent(sent_at=datetime(1, 1, 1, tzinfo=UTC), parcels=[]),
    Greeting("hello é 😀", 3),
]


class MessageCodecConformance:
    """Subclass, provide the fixture ``codec``, done."""

    async def test_it_implements_the_port(self, codec: IMessageCodec) -> None:
        assert isinstance(codec, IMessageCodec)

    async def test_it_names_its_media_type(self, codec: IMessageCodec) -> None:
        kind, _, subtype = codec.content_type.partition("/")
        assert kind
        assert subtype

    @pytest.mark.parametrize("number", range(len(_MESSAGES)))
    async def test_what_comes_back_equals_what_went_in(
        self, codec: IMessageCodec, number: int
    ) -> None:
        message = _MESSAGES[number]
        message_type = cast("type[Any]", type(message))
        data = codec.encode(message)
        assert type(data) is bytes
        decoded = codec.decode(message_type, data)
        assert type(decoded) is message_type
        assert decoded == message
        assert codec.decode(message_type, codec.encode(decoded)) == message

    async def test_an_event_keeps_its_identity(self, codec: IMessageCodec) -> None:
        event: OrderPlaced = _MESSAGES[0]
        decoded = codec.decode(OrderPlaced, codec.encode(event))
        assert (decoded.event_id, decoded.occurred_at) == (event.event_id, event.occurred_at)
        assert decoded.placed_at.utcoffset() is not None
        assert type(decoded.lines[0].price.amount) is Decimal

    async def test_instants_without_a_zone_are_read_as_utc(self, codec: IMessageCodec) -> None:
        naive = PLACED_AT.replace(tzinfo=None)
        line = OrderLine(sku="a", quantity=1, price=Money(amount=Decimal(1)), added_at=naive)
        event: OrderPlaced = _MESSAGES[0].model_copy(update={"placed_at": naive, "lines": [line]})
        decoded = codec.decode(OrderPlaced, codec.encode(event))
        assert (decoded.placed_at, decoded.lines[0].added_at) == (PLACED_AT, PLACED_AT)
        parcels = codec.decode(ParcelsSent, codec.encode(ParcelsSent(sent_at=naive, parcels=[])))
        assert parcels.sent_at == PLACED_AT

    async def test_infinity_survives(self, codec: IMessageCodec) -> None:
        message = Parcel(REFERENCE, [float("inf"), 0.5, float("-inf")])
        assert codec.decode(Parcel, codec.encode(message)) == message

    async def test_a_value_that_cannot_be_encoded_is_refused(self, codec: IMessageCodec) -> None:
        message: Any = _MESSAGES[0].model_copy(update={"metadata": {"opaque": Opaque()}})
        with pytest.raises(MessageCodecError) as failure:
            codec.encode(message)
        assert failure.value.message_type is OrderPlaced

    async def test_a_class_that_cannot_be_encoded_is_named(self, codec: IMessageCodec) -> None:
        with pytest.raises(MessageCodecError) as failure:
            codec.encode(Opaque())
        assert failure.value.message_type is Opaque

    @pytest.mark.parametrize("message_type", [PlaceOrder, ParcelsSent, Greeting])
    async def test_bytes_that_do_not_fit_are_refused(
        self, codec: IMessageCodec, message_type: type
    ) -> None:
        complete = codec.encode(next(m for m in _MESSAGES if type(m) is message_type))
        wrong = [b"", b"\xff\xfe\x00", b"[1, 2]", b"null", b"{}", complete[:-1], complete[1:]]
        for data in wrong:
            with pytest.raises(MessageCodecError) as failure:
                codec.decode(message_type, data)
            assert failure.value.message_type is message_type
