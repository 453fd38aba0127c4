"""The relay step by step: what each pass publishes, settles, retries and gives up."""

from dataclasses import replace

import pytest

from cqrs_ddd_core import DeadLetterFilter, InMemoryOutboxStorage, RelayLeaseLostError, use_clock
from cqrs_ddd_core.cqrs.outbox import OutboxService
from cqrs_ddd_core.testing import ManualClock

from .relaying import FAST, Broker, BrokerAwayError, save


@pytest.fixture
def storage() -> InMemoryOutboxStorage:
    return InMemoryOutboxStorage()


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def service(storage: InMemoryOutboxStorage, broker: Broker) -> OutboxService:
    return OutboxService(storage, broker, settings=FAST)


async def test_a_batch_is_published_and_settled(
    service: OutboxService, storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    await save(storage, *(f"a-{n}" for n in range(7)))
    assert await service.process_batch(batch_size=5) == 5
    assert len(await storage.get_pending()) == 2
    assert await service.process_batch() == 2
    assert await service.process_batch() == 0
    assert broker.taken == [f"a-{n}" for n in range(7)]


async def test_a_failed_message_holds_up_its_own_key_alone(
    service: OutboxService, storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    broker.refused = {"a-1"}
    await save(storage, "a-1", "b-1", "a-2", "b-2")
    assert await service.process_batch() == 2
    await save(storage, "a-3", "b-3")
    assert await service.process_batch() == 1
    assert broker.taken == ["b-1", "b-2", "b-3"]
    assert (await storage.statistics()).parked == 2


async def test_a_message_is_tried_again_with_a_growing_delay_and_then_given_up(
    storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    with use_clock(ManualClock()) as clock:
        assert isinstance(clock, ManualClock)
        service = OutboxService(storage, broker, max_retries=2)
        broker.refused = {"a-1"}
        await save(storage, "a-1", "a-2")
        await service.process_batch()
        assert await service.retry_failed() == 0
        for attempts in (2, 3):
            clock.advance(service.relay.settings.retries.longest_delay(attempts))
            assert await service.retry_failed() == 0
            assert len(broker.calls) == attempts
        [letter] = await storage.dead_letters()
        assert (letter.attempts, letter.error) == (3, "ValueError: no a-1")
        assert letter.parked_behind == 1
        clock.advance(10_000)
        assert await service.retry_failed() == 0
        assert len(broker.calls) == 3


async def test_what_waited_behind_a_message_follows_once_it_succeeds(
    storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    service = OutboxService(storage, broker, max_retries=0)
    broker.refused = {"a-1"}
    await save(storage, "a-1", "a-2")
    await service.drain()
    await save(storage, "a-3")
    await service.drain()
    assert broker.taken == []
    broker.refused = set()
    await storage.redrive()
    await service.drain()
    assert broker.taken == ["a-1", "a-2", "a-3"]


async def test_a_discarded_message_lets_its_key_go_on(
    storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    service = OutboxService(storage, broker, max_retries=0)
    broker.refused = {"a-1"}
    await save(storage, "a-1", "a-2")
    await service.drain()
    assert await storage.discard(DeadLetterFilter(message_ids=["a-1"])) == 1
    await service.retry_failed()
    await service.process_batch()
    assert broker.taken == ["a-2"]


async def test_draining_goes_on_behind_a_discarded_message(
    storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    service = OutboxService(storage, broker, max_retries=0)
    broker.refused = {"a-1"}
    await save(storage, "a-1", "a-2")
    assert await service.drain() == 0
    await storage.discard(DeadLetterFilter(message_ids=["a-1"]))
    assert await service.drain() == 1
    assert broker.taken == ["a-2"]


async def test_draining_goes_on_behind_a_batch_that_failed_altogether(
    storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    one_attempt = replace(FAST, batch_size=5, retries=replace(FAST.retries, max_attempts=1))
    service = OutboxService(storage, broker, settings=one_attempt)
    failing = [f"{key}-1" for key in "abcdefghijklm"]
    broker.refused = set(failing)
    await save(storage, *failing, "z-1")
    assert await service.drain() == 1
    assert broker.taken == ["z-1"]
    assert len(await storage.dead_letters()) == len(failing)


async def test_a_broker_that_is_away_is_held_against_nobody(
    service: OutboxService, storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    broker.is_away = True
    await save(storage, "a-1", "b-1")
    for _ in range(20):
        with pytest.raises(BrokerAwayError):
            await service.process_batch()
    statistics = await storage.statistics()
    assert (statistics.waiting, statistics.retrying, statistics.dead_letters) == (2, 0, 0)
    broker.is_away = False
    assert await service.process_batch() == 2


async def test_slots_given_back_are_free_for_the_next(
    storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    await save(storage, "a-1")
    async with OutboxService(storage, broker) as first:
        await first.process_batch()
    await save(storage, "a-2")
    async with OutboxService(storage, broker) as second:
        assert await second.process_batch() == 1


async def test_a_lease_that_ends_while_messages_are_published_settles_nothing(
    storage: InMemoryOutboxStorage, broker: Broker
) -> None:
    with use_clock(ManualClock()) as clock:
        assert isinstance(clock, ManualClock)
        service = OutboxService(storage, broker, settings=replace(FAST, lease=15.0))
        other = OutboxService(storage, Broker())

        async def pause() -> None:
            clock.advance(16)
            assert await other.process_batch() == 2

        broker.before = pause
        await save(storage, "a-1", "a-2")
        with pytest.raises(RelayLeaseLostError):
            await service.process_batch()
        broker.before = None
        await other.close()
        await save(storage, "a-3")
        assert await service.process_batch() == 1
    assert broker.taken == ["a-1", "a-2", "a-3"]


async def test_a_publisher_that_forgets_a_message_is_refused(
    storage: InMemoryOutboxStorage,
) -> None:
    class Forgetful:
        async def publish(self, messages: object) -> list[Exception | None]:
            return []

    await save(storage, "a-1")
    with pytest.raises(ValueError, match="0 outcomes for 1 messages"):
        await OutboxService(storage, Forgetful()).process_batch()
    assert len(await storage.get_pending()) == 1
