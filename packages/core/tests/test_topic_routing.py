"""Messages go to the publisher of their type, and a key never overtakes itself."""

from collections.abc import Sequence

import pytest

from cqrs_ddd_core import (
    DomainEvent,
    IMessagePublisher,
    OutboxMessage,
    PublisherNotFoundError,
    TopicRoutingPublisher,
    route_to,
    utc_now,
)


@route_to("billing")
class InvoiceSent(DomainEvent):
    pass


class Recorded:
    def __init__(self, *refused: str, away: bool = False) -> None:
        self.calls: list[list[str]] = []
        self._refused, self._away = refused, away

    async def publish(self, messages: Sequence[OutboxMessage]) -> list[Exception | None]:
        self.calls.append([each.message_id for each in messages])
        if self._away:
            raise ConnectionError
        return [ValueError() if each.message_id in self._refused else None for each in messages]


def message(message_id: str, event_type: str, key: str = "") -> OutboxMessage:
    return OutboxMessage(
        message_id=message_id,
        event_type=event_type,
        payload=b"",
        occurred_at=utc_now(),
        partition_key=key,
    )


def names(outcomes: Sequence[Exception | None]) -> list[str]:
    return [type(each).__name__ for each in outcomes]


async def test_route_then_mark_then_default_decides() -> None:
    routed, billing, default = Recorded(), Recorded(), Recorded()
    publisher = TopicRoutingPublisher(
        {"Routed": routed}, {"billing": billing}, default, message_types=[InvoiceSent]
    )
    assert isinstance(publisher, IMessagePublisher)
    outcomes = await publisher.publish(
        [message("1", "Routed"), message("2", "InvoiceSent"), message("3", "Other")]
    )
    assert outcomes == [None, None, None]
    assert (routed.calls, billing.calls, default.calls) == ([["1"]], [["2"]], [["3"]])
    publisher.register_route(InvoiceSent, routed)
    assert publisher.publisher_for("InvoiceSent") is routed


async def test_a_message_without_a_publisher_fails_and_holds_back_its_key_from_there() -> None:
    routed = Recorded()
    publisher = TopicRoutingPublisher({"Routed": routed})
    outcomes = await publisher.publish(
        [
            message("1", "Routed", "a"),
            message("2", "Lost", "a"),
            message("3", "Routed", "a"),
            message("4", "Routed", "b"),
        ]
    )
    lost = "PublisherNotFoundError"
    assert names(outcomes) == ["NoneType", lost, lost, "NoneType"]
    assert routed.calls == [["1", "4"]]
    with pytest.raises(PublisherNotFoundError, match="register_route"):
        publisher.publisher_for("Lost")


async def test_a_key_that_changes_publishers_keeps_its_order() -> None:
    first, second = Recorded("2"), Recorded()
    publisher = TopicRoutingPublisher({"A": first, "B": second})
    outcomes = await publisher.publish(
        [message("1", "B", "k"), message("2", "A", "k"), message("3", "B", "k"), message("4", "B")]
    )
    assert (first.calls, second.calls) == ([["2"]], [["1", "4"]])
    assert names(outcomes) == ["NoneType", "ValueError", "ValueError", "NoneType"]


async def test_a_publisher_that_is_away_fails_its_own_messages() -> None:
    away, here = Recorded(away=True), Recorded()
    publisher = TopicRoutingPublisher({"A": away, "B": here})
    outcomes = await publisher.publish([message("1", "A"), message("2", "B")])
    assert names(outcomes) == ["ConnectionError", "NoneType"]
    with pytest.raises(ConnectionError):
        await publisher.publish([message("1", "A")])
