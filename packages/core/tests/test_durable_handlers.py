"""DURABLE handlers: through the outbox and the inbox, each effectively once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    ConcurrencyError,
    DomainEvent,
    EventPhase,
    EventTypeRegistry,
    HandlerRegistrationError,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryInboxStorage,
    InMemoryOutboxStorage,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    OutboxMiddleware,
    UnknownEventTypeError,
    get_causation_id,
    get_correlation_id,
    repository,
)
from cqrs_ddd_core.cqrs.outbox import (
    BufferedOutbox,
    DurableHandlerPublisher,
    EarlierMessageFailedError,
    FanOutPublisher,
    OutboxService,
)
from cqrs_ddd_core.testing import until

from .relaying import FAST, Broker, BrokerAwayError, message


class Placed(DomainEvent):
    event_type = "shop.placed"
    total: int = 0


class PlacedAbroad(Placed):
    event_type = "shop.placed-abroad"


class Paid(DomainEvent):
    pass


class Unheard(DomainEvent):
    pass


class Account(AggregateRoot[str]):
    paid: int = 0


class ShopUnitOfWork(InMemoryUnitOfWork):
    accounts = repository(Account)


class Pay(Command[None]):
    account: str
    amount: int


async def pay(command: Pay, uow: ShopUnitOfWork) -> None:
    account = await uow.accounts.get(command.account)
    if account is None:
        account = Account(id=command.account)
        await uow.accounts.add(account)
    account.paid += command.amount
    account.add_event(Paid())


class Shop:
    def __init__(self) -> None:
        self.outbox, self.inbox = InMemoryOutboxStorage(), InMemoryInboxStorage()
        self.database, self.registry = InMemoryDatabase(), HandlerRegistry()
        self.registry.register_command_handler(Pay, pay)
        self.mediator = Mediator(
            self.registry,
            lambda: ShopUnitOfWork(self.database),
            middleware_registry=MiddlewareRegistry([OutboxMiddleware(self.outbox)]),
        )
        self.publisher = DurableHandlerPublisher(self.mediator, self.inbox)

    def durable(self, event_type: type, handler: Any, name: str | None = None) -> None:
        self.registry.register_event_handler(
            event_type, handler, phase=EventPhase.DURABLE, name=name
        )

    async def deliver(self) -> int:
        async with OutboxService(self.outbox, self.publisher, settings=FAST) as service:
            return await service.drain()

    async def paid(self, account: str) -> int:
        async with ShopUnitOfWork(self.database) as uow:
            found = await uow.accounts.get(account)
            return 0 if found is None else found.paid

    async def accounts(self) -> list[str]:
        async with ShopUnitOfWork(self.database) as uow:
            return sorted(account.id for account in await uow.accounts.list_all())


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def test_a_handler_runs_when_the_outbox_is_delivered_in_a_transaction_of_its_own(
    shop: Shop,
) -> None:
    async def book(event: Placed, uow: ShopUnitOfWork) -> None:
        await uow.accounts.add(Account(id="a", paid=event.total))

    shop.durable(Placed, book, "book")
    await shop.mediator.publish(Placed(total=3))
    assert await shop.paid("a") == 0
    assert await shop.deliver() == 1
    assert await shop.paid("a") == 3


async def test_a_message_delivered_again_takes_no_effect_again(shop: Shop) -> None:
    async def book(event: Placed) -> None:
        await shop.mediator.send(Pay(account="a", amount=event.total))

    shop.durable(Placed, book, "book")
    await shop.mediator.publish(Placed(total=3))
    [saved] = await shop.outbox.get_pending()
    for _ in range(3):
        assert await shop.publisher.publish([saved]) == [None]
    assert await asyncio.gather(*(shop.publisher.publish([saved]) for _ in range(3)))
    assert await shop.paid("a") == 3


async def test_deliveries_at_the_same_time_take_effect_once(shop: Shop) -> None:
    both = asyncio.Barrier(2)

    async def book(event: Placed, uow: ShopUnitOfWork) -> None:
        await both.wait()
        await uow.accounts.add(Account(id=f"a-{event.total}-{id(uow)}", paid=1))

    shop.durable(Placed, book, "book")
    await shop.mediator.publish(Placed(total=3))
    [saved] = await shop.outbox.get_pending()
    outcomes = await asyncio.gather(*(shop.publisher.publish([saved]) for _ in range(2)))
    assert outcomes == [[None], [None]]
    async with ShopUnitOfWork(shop.database) as uow:
        assert len(await uow.accounts.list_all()) == 1


async def test_a_failing_handler_does_not_repeat_the_others(shop: Shop) -> None:
    calls: list[str] = []
    failures = iter([RuntimeError("not yet")] * 2)

    async def first(event: Placed) -> None:
        calls.append("first")

    async def second(event: Placed) -> None:
        calls.append("second")
        for failure in failures:
            raise failure

    async def third(event: Placed) -> None:
        calls.append("third")

    for handler in (first, second, third):
        shop.durable(Placed, handler)
    await shop.mediator.publish(Placed())
    async with BufferedOutbox(storage=shop.outbox, broker=shop.publisher, settings=FAST):
        await until(lambda: _empty(shop), 30)
    assert sorted(calls) == ["first", "second", "second", "second", "third"]


async def _empty(shop: Shop) -> bool:
    return not await shop.outbox.get_pending()


async def test_a_failed_handler_leaves_nothing_behind(shop: Shop) -> None:
    async def book(event: Placed, uow: ShopUnitOfWork) -> None:
        await uow.accounts.add(Account(id="a", paid=1))
        await shop.mediator.publish(Paid())
        raise RuntimeError

    shop.durable(Placed, book, "book")
    await shop.mediator.publish(Placed())
    [saved] = await shop.outbox.get_pending()
    [outcome] = await shop.publisher.publish([saved])
    assert isinstance(outcome, RuntimeError)
    assert await shop.paid("a") == 0
    assert await shop.inbox.handled("book", [saved.message_id]) == set()
    assert await shop.outbox.get_pending() == [saved]


async def test_all_failures_of_a_message_are_told(shop: Shop) -> None:
    async def one(event: Placed) -> None:
        raise RuntimeError("one")

    async def two(event: Placed) -> None:
        raise ValueError("two")

    shop.durable(Placed, one)
    shop.durable(Placed, two)
    outcome: Any = (await shop.publisher.publish([await _saved(shop, Placed())]))[0]
    assert [str(error) for error in outcome.exceptions] == ["one", "two"]


async def _saved(shop: Shop, event: DomainEvent) -> Any:
    await shop.mediator.publish(event)
    return (await shop.outbox.get_pending())[-1]


async def test_events_raised_by_a_handler_go_through_the_outbox_in_the_same_conversation(
    shop: Shop,
) -> None:
    seen: list[tuple[str | None, str | None]] = []

    async def book(event: Placed) -> None:
        await shop.mediator.send(Pay(account="a", amount=1))

    async def note(event: Paid) -> None:
        seen.append((event.correlation_id, get_correlation_id()))
        seen.append((get_causation_id(), event.event_id))

    shop.durable(Placed, book, "book")
    shop.durable(Paid, note, "note")
    placed = Placed(correlation_id="request-7")
    await shop.mediator.publish(placed)
    await shop.deliver()
    (correlation, cause) = seen
    assert correlation == ("request-7", "request-7")
    assert cause[0] == cause[1]


async def test_the_messages_of_a_key_are_handled_in_order_and_wait_for_one_that_failed(
    shop: Shop,
) -> None:
    async def note(event: Placed, uow: ShopUnitOfWork) -> None:
        await uow.accounts.add(Account(id=f"a-{event.total}"))
        if event.total == 1:
            raise RuntimeError

    shop.durable(Placed, note, "note")
    for number in range(3):
        await shop.mediator.publish(
            Placed(total=number, aggregate_id="o-1", aggregate_type="Order")
        )
    await shop.mediator.publish(Placed(total=9, aggregate_id="o-2", aggregate_type="Order"))
    messages = await shop.outbox.get_pending()
    outcomes = await shop.publisher.publish(messages)
    assert [type(outcome) for outcome in outcomes] == [
        type(None),
        RuntimeError,
        EarlierMessageFailedError,
        type(None),
    ]
    assert await shop.accounts() == ["a-0", "a-9"]


async def test_messages_that_come_together_share_a_unit_of_work_for_each_handler(
    shop: Shop,
) -> None:
    units: dict[str, set[int]] = {"one": set(), "two": set()}

    async def one(event: Placed, uow: ShopUnitOfWork) -> None:
        units["one"].add(id(uow))
        await uow.accounts.add(Account(id=f"a-{event.total}"))

    async def two(event: Placed, uow: ShopUnitOfWork) -> None:
        units["two"].add(id(uow))
        if event.total == 3:
            raise RuntimeError

    shop.durable(Placed, one, "one")
    shop.durable(Placed, two, "two")
    for number in range(5):
        await shop.mediator.publish(Placed(total=number))
    messages = await shop.outbox.get_pending()
    outcomes = await shop.publisher.publish(messages)
    assert [type(outcome) for outcome in outcomes] == [
        *[type(None)] * 3,
        RuntimeError,
        type(None),
    ]
    assert len(units["one"]) == 1
    assert await shop.accounts() == [f"a-{number}" for number in range(5)]
    ids = [message.message_id for message in messages]
    assert await shop.inbox.handled("one", ids) == set(ids)
    assert await shop.inbox.handled("two", ids) == set(ids) - {ids[3]}


async def test_handlers_with_effects_elsewhere_can_have_each_message_alone(shop: Shop) -> None:
    sent: list[int] = []

    async def send_mail(event: Placed) -> None:
        if event.total == 2:
            raise RuntimeError
        sent.append(event.total)

    shop.durable(Placed, send_mail, "mail")
    for number in range(3):
        await shop.mediator.publish(
            Placed(total=number, aggregate_id="o-1", aggregate_type="Order")
        )
    publisher = DurableHandlerPublisher(shop.mediator, shop.inbox, batch_size=1)
    await publisher.publish(await shop.outbox.get_pending())
    assert sent == [0, 1]


async def test_what_is_raised_in_a_shared_unit_of_work_has_its_own_message_as_its_cause(
    shop: Shop,
) -> None:
    async def book(event: Placed, uow: ShopUnitOfWork) -> None:
        account = Account(id=f"a-{event.total}")
        account.add_event(Paid())
        await uow.accounts.add(account)

    async def pay_too(event: Placed) -> None:
        await shop.mediator.send(Pay(account=f"b-{event.total}", amount=1))

    shop.durable(Placed, book, "book")
    shop.durable(Placed, pay_too, "pay")
    placed = [Placed(total=number, correlation_id=f"request-{number}") for number in range(3)]
    for event in placed:
        await shop.mediator.publish(event)
    saved = await shop.outbox.get_pending()
    assert await shop.publisher.publish(saved) == [None] * 3
    paid = (await shop.outbox.get_pending())[3:]
    assert [message.correlation_id for message in paid] == [
        f"request-{number}" for number in (0, 1, 2) * 2
    ]
    assert [message.causation_id for message in paid[:3]] == [e.event_id for e in placed]


async def test_a_handler_of_a_base_type_gets_derived_events_as_they_are(shop: Shop) -> None:
    seen: list[object] = []

    async def note(event: Placed) -> None:
        seen.append(event)

    shop.durable(Placed, note, "note")
    abroad = PlacedAbroad(total=3)
    await shop.mediator.publish(abroad)
    await shop.deliver()
    assert [type(event) for event in seen] == [PlacedAbroad]


async def test_a_handler_that_lost_a_race_runs_again_at_once(shop: Shop) -> None:
    failures = iter([ConcurrencyError("Account 'a'", expected=1, actual=2)] * 2)

    async def book(event: Placed, uow: ShopUnitOfWork) -> None:
        for failure in failures:
            raise failure
        await uow.accounts.add(Account(id="a", paid=1))

    shop.durable(Placed, book, "book")
    assert await shop.publisher.publish([await _saved(shop, Placed())]) == [None]
    assert await shop.paid("a") == 1


async def test_an_event_that_nobody_here_wants_is_delivered(shop: Shop) -> None:
    assert await shop.publisher.publish([await _saved(shop, Unheard())]) == [None]


async def test_an_event_that_nobody_here_knows_is_refused(shop: Shop) -> None:
    unknown = replace(message("m-1"), event_type="shop.plaecd")
    [outcome] = await shop.publisher.publish([unknown])
    assert isinstance(outcome, UnknownEventTypeError)

    @dataclass
    class Shipped:
        order: str

    types = EventTypeRegistry()
    types.register("shop.plaecd", Shipped)
    publisher = DurableHandlerPublisher(shop.mediator, shop.inbox, event_types=types)
    assert await publisher.publish([unknown]) == [None]


async def test_a_payload_that_does_not_fit_is_a_failure_of_its_message_alone(shop: Shop) -> None:
    async def note(event: Placed) -> None:
        pass

    shop.durable(Placed, note, "note")
    good = await _saved(shop, Placed())
    bad = replace(good, message_id="bad", payload=b'{"total": "many"}')
    outcomes = await shop.publisher.publish([bad, good])
    assert "does not fit these bytes" in str(outcomes[0])
    assert outcomes[1] is None


def test_two_durable_handlers_of_one_name_are_refused() -> None:
    def make() -> Callable[[Placed], Any]:
        async def handler(event: Placed) -> None: ...

        return handler

    registry = HandlerRegistry()
    for _ in range(2):
        registry.register_event_handler(Placed, make(), phase=EventPhase.DURABLE)
    with pytest.raises(HandlerRegistrationError, match="Two DURABLE handlers are called"):
        registry.validate()
    registry = HandlerRegistry()
    for name in ("one", "two"):
        registry.register_event_handler(Placed, make(), phase=EventPhase.DURABLE, name=name)
    registry.validate()


async def test_a_message_goes_to_handlers_here_and_to_a_broker(shop: Shop) -> None:
    seen: list[object] = []

    async def note(event: Placed) -> None:
        seen.append(event)

    shop.durable(Placed, note, "note")
    broker = Broker()
    both = FanOutPublisher(shop.publisher, broker)
    saved = await _saved(shop, Placed())
    assert await both.publish([saved]) == [None]
    assert (len(seen), broker.taken) == (1, [saved.message_id])


async def test_a_broker_that_is_away_gets_the_message_later_and_nobody_twice(shop: Shop) -> None:
    first, second = Broker(), Broker()
    both = FanOutPublisher(first, second)
    second.is_away = True
    with pytest.raises(BrokerAwayError):
        await both.publish([message("a-1"), message("a-2")])
    second.is_away, second.refused = False, {"a-2"}
    outcomes = await both.publish([message("a-1"), message("a-2")])
    assert outcomes[0] is None
    assert isinstance(outcomes[1], ValueError)
    second.refused = set()
    assert await both.publish([message("a-2")]) == [None]
    assert first.taken == second.taken == ["a-1", "a-2"]


async def test_what_one_publisher_refuses_does_not_reach_the_next() -> None:
    first, second = Broker(), Broker()
    first.refused = {"a-1"}
    outcomes = await FanOutPublisher(first, second).publish([message("a-1"), message("b-1")])
    assert isinstance(outcomes[0], ValueError)
    assert second.taken == ["b-1"]
