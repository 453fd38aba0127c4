"""The outbox: every event is written down, if and only if its command commits."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    CommandResponse,
    ConcurrencyError,
    DomainEvent,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryOutboxStorage,
    InMemoryUnitOfWork,
    JsonMessageCodec,
    Mediator,
    MessageCodecError,
    MiddlewareRegistry,
    OutboxMessage,
    OutboxMiddleware,
    repository,
    with_correlation_context,
)


class Placed(DomainEvent):
    event_type = "shop.placed"
    version: int = 2
    total: int = 0


class Noted(DomainEvent):
    note: Any = None


@dataclass(frozen=True)
class Shipped:
    order: str


class Order(AggregateRoot[str]):
    total: int = 0


class ShopUnitOfWork(InMemoryUnitOfWork):
    orders = repository(Order)


class Place(Command[None]):
    order_id: str = "o-1"
    extra: tuple[Any, ...] = ()
    fail: bool = False


class Shop:
    def __init__(self, **options: Any) -> None:
        self.outbox, self.database = InMemoryOutboxStorage(), InMemoryDatabase()
        registry = HandlerRegistry()
        registry.register_command_handler(Place, self.place)
        self.mediator = Mediator(
            registry,
            lambda: ShopUnitOfWork(self.database),
            middleware_registry=MiddlewareRegistry([OutboxMiddleware(self.outbox, **options)]),
        )

    async def place(self, command: Place, uow: ShopUnitOfWork) -> CommandResponse[None]:
        order = Order(id=command.order_id)
        order.add_event(Placed(total=3))
        await uow.orders.add(order)
        if command.fail:
            raise LookupError
        return CommandResponse(None, events=list(command.extra))

    async def messages(self) -> list[OutboxMessage]:
        return await self.outbox.get_pending()


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def test_a_message_is_the_event_with_all_a_receiver_needs(shop: Shop) -> None:
    command = Place(correlation_id="request-7")
    response = await shop.mediator.send(command)
    (message,) = await shop.messages()
    (event,) = response.events
    assert JsonMessageCodec().decode(Placed, message.payload) == event
    assert message.message_id == event.event_id
    assert (message.event_type, message.schema_version) == ("shop.placed", 2)
    assert message.content_type == "application/json"
    assert message.occurred_at == event.occurred_at
    assert (message.aggregate_type, message.partition_key) == ("Order", "Order/o-1")
    assert (message.correlation_id, message.causation_id) == ("request-7", command.command_id)


async def test_the_ids_are_in_the_payload_too(shop: Shop) -> None:
    command = Place()
    await shop.mediator.send(command)
    (message,) = await shop.messages()
    stored = JsonMessageCodec().decode(Placed, message.payload)
    assert stored.correlation_id == stored.causation_id == command.command_id


async def test_a_failed_command_leaves_no_message(shop: Shop) -> None:
    with pytest.raises(LookupError):
        await shop.mediator.send(Place(fail=True))
    assert await shop.messages() == []


async def test_a_command_that_loses_at_commit_leaves_no_message(shop: Shop) -> None:
    await shop.mediator.send(Place())
    with pytest.raises(ConcurrencyError):
        await shop.mediator.send(Place(extra=(Noted(),)))
    assert [message.event_type for message in await shop.messages()] == ["shop.placed"]


async def test_messages_keep_the_order_in_which_the_events_were_raised(shop: Shop) -> None:
    events = tuple(Noted(note=number) for number in range(10))
    response = await shop.mediator.send(Place(extra=events))
    messages = await shop.messages()
    assert [message.message_id for message in messages] == [e.event_id for e in response.events]


async def test_an_event_without_an_aggregate_has_no_key_of_order(shop: Shop) -> None:
    await shop.mediator.send(Place(extra=(Noted(),)))
    keys = {message.event_type: message.partition_key for message in await shop.messages()}
    assert keys == {"shop.placed": "Order/o-1", "Noted": ""}


async def test_an_event_of_any_class_gets_id_time_and_conversation(shop: Shop) -> None:
    before = datetime.now(UTC)
    command = Place(extra=(Shipped("o-1"),))
    await shop.mediator.send(command)
    (message,) = [m for m in await shop.messages() if m.event_type == "Shipped"]
    assert message.message_id
    assert before <= message.occurred_at <= datetime.now(UTC)
    assert message.correlation_id == command.command_id
    assert JsonMessageCodec().decode(Shipped, message.payload) == Shipped("o-1")


async def test_only_what_is_selected_is_written() -> None:
    def is_noted(event: object) -> bool:
        return isinstance(event, Noted)

    shop = Shop(selects=is_noted)
    await shop.mediator.send(Place(extra=(Noted(),)))
    assert [message.event_type for message in await shop.messages()] == ["Noted"]


async def test_an_event_that_cannot_be_encoded_fails_its_command(shop: Shop) -> None:
    with pytest.raises(MessageCodecError, match="Noted: cannot be written as JSON"):
        await shop.mediator.send(Place(extra=(Noted(note=object()),)))
    assert await shop.messages() == []
    async with ShopUnitOfWork(shop.database) as uow:
        assert await uow.orders.list_all() == []


async def test_a_codec_of_your_own_encodes_the_messages() -> None:
    class Shout(JsonMessageCodec):
        content_type = "text/shout"

        def encode(self, message: Any) -> bytes:
            return super().encode(message).upper()

    shop = Shop(codec=Shout())
    await shop.mediator.send(Place())
    (message,) = await shop.messages()
    assert message.content_type == "text/shout"
    assert b'"TOTAL":3' in message.payload


async def test_a_published_event_is_written_with_its_conversation(shop: Shop) -> None:
    with with_correlation_context("request-7", "cause-1"):
        await shop.mediator.publish(Noted())
    (message,) = await shop.messages()
    assert (message.correlation_id, message.causation_id) == ("request-7", "cause-1")
