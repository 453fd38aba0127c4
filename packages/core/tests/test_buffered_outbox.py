"""The relay in the background: wake-up, order, failures, outages, several relays, stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    DomainEvent,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryOutboxStorage,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    OutboxMiddleware,
    Worker,
    repository,
)
from cqrs_ddd_core.cqrs.outbox import BufferedOutbox, RelaySettings
from cqrs_ddd_core.cqrs.outbox.relay import boot_time
from cqrs_ddd_core.testing import until

from .relaying import FAST, Broker, save

LONG = 30.0


@pytest.fixture
def storage() -> InMemoryOutboxStorage:
    return InMemoryOutboxStorage()


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
async def outbox(storage: InMemoryOutboxStorage, broker: Broker) -> AsyncIterator[BufferedOutbox]:
    async with BufferedOutbox(storage=storage, broker=broker, settings=FAST) as outbox:
        yield outbox


async def empty(storage: InMemoryOutboxStorage) -> bool:
    return not await storage.get_pending()


class Placed(DomainEvent):
    pass


class Order(AggregateRoot[str]):
    pass


class ShopUnitOfWork(InMemoryUnitOfWork):
    orders = repository(Order)


class Place(Command[None]):
    order_id: str


async def place(command: Place, uow: ShopUnitOfWork) -> None:
    order = Order(id=command.order_id)
    order.add_event(Placed())
    await uow.orders.add(order)


async def test_a_commit_wakes_the_relay(storage: InMemoryOutboxStorage, broker: Broker) -> None:
    never = replace(FAST, poll_interval=1e9, shortest_poll=1e9)
    database, registry = InMemoryDatabase(), HandlerRegistry()
    registry.register_command_handler(Place, place)
    async with BufferedOutbox(storage=storage, broker=broker, settings=never) as outbox:
        mediator = Mediator(
            registry,
            lambda: ShopUnitOfWork(database),
            middleware_registry=MiddlewareRegistry([OutboxMiddleware(outbox)]),
        )
        for number in range(3):
            response = await mediator.send(Place(order_id=f"o-{number}"))
            await until(lambda: empty(storage), LONG)
            assert broker.taken[-1] == response.events[0].event_id


async def test_messages_saved_without_a_unit_of_work_wake_the_relay_as_well(
    storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    never = replace(FAST, poll_interval=1e9, shortest_poll=1e9)
    async with BufferedOutbox(storage=storage, broker=broker, settings=never) as outbox:
        for number in range(3):
            await save(outbox, f"a-{number}")  # pyright: ignore[reportArgumentType]
            await until(lambda: empty(storage), LONG)


async def test_messages_of_other_processes_are_found_by_polling(
    outbox: BufferedOutbox, storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    for number in range(3):
        await save(storage, f"a-{number}")
        await until(lambda: empty(storage), LONG)
    assert broker.taken == ["a-0", "a-1", "a-2"]


async def test_the_order_of_each_key_holds_through_failures(
    outbox: BufferedOutbox, storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    broker.refused = {"a-3", "b-5"}
    for start in range(0, 20, 5):
        await save(storage, *(f"{key}-{n}" for n in range(start, start + 5) for key in "abc"))
    await until(lambda: len(broker.of("c")) == 20, LONG)
    broker.refused = set()

    async def redriven() -> bool:
        await storage.redrive()
        return await empty(storage)

    await until(redriven, LONG)
    for key in "abc":
        assert broker.of(key) == [f"{key}-{n}" for n in range(20)]


async def test_no_message_of_a_key_is_published_while_another_is_under_way(
    outbox: BufferedOutbox, storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    broker.gates["a"] = asyncio.Event()
    await save(storage, "a-1")
    await until(lambda: broker.calls, LONG)
    await save(storage, "a-2", "b-1")
    await until(lambda: broker.of("b"), LONG)
    assert broker.taken == ["b-1"]
    broker.gates.pop("a").set()
    await until(lambda: empty(storage), LONG)
    assert broker.of("a") == ["a-1", "a-2"]


async def test_a_slow_key_holds_up_no_other(storage: InMemoryOutboxStorage, broker: Broker) -> None:
    settings = replace(FAST, batch_size=20, max_held=100, max_calls=1, slow_after=0.01)
    gate = broker.gates["a"] = asyncio.Event()
    await save(storage, *(f"a-{n}" for n in range(500)))
    async with BufferedOutbox(storage=storage, broker=broker, settings=settings):
        await save(storage, *(f"b-{n}" for n in range(300)))
        await until(lambda: len(broker.of("b")) == 300, LONG)
        assert broker.of("a") == []
        gate.set()
        await until(lambda: empty(storage), LONG)
    assert broker.of("a") == [f"a-{n}" for n in range(500)]
    assert broker.of("b") == [f"b-{n}" for n in range(300)]


async def test_an_outage_is_probed_and_when_it_ends_everything_follows(
    outbox: BufferedOutbox, storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    broker.is_away = True
    await save(storage, *(f"{key}-{n}" for n in range(50) for key in "abcd"))
    await until(lambda: len(broker.calls) > 10, LONG)
    assert "BrokerAwayError" in outbox.relay.status()["last_error"]
    assert all(len(call) == 1 for call in broker.calls[5:])
    broker.is_away = False
    await until(lambda: empty(storage), LONG)
    for key in "abcd":
        assert broker.of(key) == [f"{key}-{n}" for n in range(50)]


async def test_a_message_that_brings_the_publisher_down_is_found_and_given_up(
    outbox: BufferedOutbox, storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    broker.fatal = {"p-0"}
    await save(storage, *(f"{key}-{n}" for n in range(20) for key in "apb"))

    numbers = count(20)

    async def is_dead() -> bool:
        await save(storage, f"b-{next(numbers)}")
        return bool(await storage.dead_letters())

    await until(is_dead, LONG)
    [letter] = await storage.dead_letters()
    assert letter.message.message_id == "p-0"
    await until(lambda: len(broker.of("a")) == 20, LONG)


async def test_several_relays_share_the_slots_and_keep_the_order(
    storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    settings = replace(FAST, lease=0.5)
    async with AsyncExitStack() as stack:
        relays: list[BufferedOutbox] = []
        for number in range(4):
            relay = BufferedOutbox(storage=storage, broker=broker, settings=settings)
            relays.append(await stack.enter_async_context(relay))
            await save(storage, *(f"{key}-{n + 10 * number}" for n in range(10) for key in "abcde"))
        await until(lambda: all(relay.relay.status()["slots"] == 16 for relay in relays), LONG)
        await save(storage, *(f"{key}-{n}" for n in range(40, 100) for key in "abcde"))
        await until(lambda: empty(storage), LONG)
    for key in "abcde":
        assert broker.of(key) == [f"{key}-{n}" for n in range(100)]


async def test_a_relay_that_lost_its_lease_joins_again(
    outbox: BufferedOutbox, storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    broker.gates["a"] = asyncio.Event()
    await save(storage, "a-1")
    await until(lambda: broker.calls, LONG)
    lease = outbox.relay.lease
    assert lease is not None
    await storage.leave(lease.relay_id)  # as if it had run out
    broker.gates.pop("a").set()
    await until(lambda: empty(storage), LONG)
    assert set(broker.taken) == {"a-1"}
    assert outbox.relay.lease is not None
    assert outbox.relay.lease.relay_id > lease.relay_id


async def test_a_store_that_cannot_be_reached_is_tried_again(
    storage: InMemoryOutboxStorage, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, failures = storage.settle, iter([OSError("gone")] * 2)

    async def failing(*arguments: Any) -> None:
        for failure in failures:
            raise failure
        await settle(*arguments)

    monkeypatch.setattr(storage, "settle", failing)
    async with BufferedOutbox(storage=storage, broker=broker, settings=FAST) as outbox:
        await save(storage, "a-1", "a-2")
        await until(lambda: empty(storage), LONG)
        await until(lambda: outbox.relay.last_error is None, LONG)
    assert broker.taken == ["a-1", "a-2"]


async def test_stop_waits_for_what_is_being_published_and_settles_it(
    outbox: BufferedOutbox, storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    gate = broker.gates["a"] = asyncio.Event()
    await save(storage, "a-1")
    await until(lambda: broker.calls, LONG)
    stopping = asyncio.create_task(outbox.stop())
    await save(storage, "a-2")
    assert not stopping.done()
    gate.set()
    await stopping
    assert [message.message_id for message in await storage.get_pending()] == ["a-2"]
    assert (await storage.statistics()).relays == 0
    assert not outbox.is_running


async def test_stop_ends_at_its_deadline_and_loses_nothing(
    storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    outbox = BufferedOutbox(storage=storage, broker=broker, settings=FAST)
    await outbox.start()
    broker.gates["a"] = asyncio.Event()
    await save(storage, "a-1")
    await until(lambda: broker.calls, LONG)
    await outbox.stop(timeout=0)
    assert len(await storage.get_pending()) == 1
    broker.gates.clear()
    await outbox.start()
    await until(lambda: empty(storage), LONG)
    await outbox.stop()
    await outbox.stop()
    assert broker.taken == ["a-1"]


async def test_a_cancelled_relay_gives_its_slots_back(
    storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    outbox = BufferedOutbox(storage=storage, broker=broker, settings=RelaySettings())
    task = asyncio.create_task(outbox.run(asyncio.Event()))
    await save(storage, "a-1")
    await until(lambda: empty(storage), LONG)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await storage.statistics()).relays == 0


async def test_an_idle_relay_asks_less_and_less_often(
    storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    settings = replace(FAST, poll_interval=1e9, shortest_poll=1.0, lease=1e12)
    relay = BufferedOutbox(storage=storage, broker=broker, settings=settings).relay
    await relay.converse()
    for _ in range(50):
        await relay.read(10)
    assert relay.next_due() - boot_time() > 1e8
    await save(storage, "a-1")
    await relay.read(10)
    assert relay.next_due() - boot_time() <= 1.0


async def test_it_is_a_part_of_a_worker_that_tells_how_it_gets_on(
    storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    outbox = BufferedOutbox(storage=storage, broker=broker, settings=FAST, name="relay")
    gate = broker.gates["a"] = asyncio.Event()
    async with Worker([outbox]) as worker:
        (status,) = worker.status().parts
        assert status.name == "relay"
        await until(lambda: outbox.progress.is_idle, LONG)
        await save(storage, "a-1")
        await until(lambda: outbox.progress.lag == 1, LONG)
        assert not worker.status().parts[0].idle
        gate.set()
        await until(lambda: empty(storage), LONG)
        await until(lambda: worker.status().parts[0].idle, LONG)
        assert worker.status().healthy
    assert broker.taken == ["a-1"]
    assert (await storage.statistics()).relays == 0


async def test_its_worker_sees_that_the_store_is_away_and_that_it_is_back(
    storage: InMemoryOutboxStorage, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew, is_away = storage.renew, True

    async def fails_at_first(*arguments: Any) -> Any:
        if is_away:
            raise OSError("no route to host")
        return await renew(*arguments)

    monkeypatch.setattr(storage, "renew", fails_at_first)
    outbox = BufferedOutbox(storage=storage, broker=broker, settings=FAST)
    async with Worker([outbox]) as worker:
        await until(lambda: worker.status().parts[0].in_trouble, LONG)
        assert worker.status().parts[0].last_error == "OSError: no route to host"
        assert not worker.status().healthy
        is_away = False
        await until(lambda: worker.status().healthy, LONG)
