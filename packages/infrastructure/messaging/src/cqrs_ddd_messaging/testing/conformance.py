"""What every broker adapter promises: delivery, order, retries, dead letters, a clean end."""
# ruff: noqa: D102 - test names are sentences

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import ClassVar

from cqrs_ddd_core import (
    IMessageConsumer,
    IMessagePublisher,
    ISubscription,
    OutboxMessage,
    RetryPolicy,
)
from cqrs_ddd_core.testing import until
from cqrs_ddd_messaging.errors import HeldBackError, UnroutableMessageError
from cqrs_ddd_messaging.testing.dead_letters import DeadLetterConformance, listed
from cqrs_ddd_messaging.testing.world import (
    FAST,
    TIMEOUT,
    BrokerUnderTest,
    Handled,
    consuming,
    message,
)


class BrokerConformance(DeadLetterConformance):
    """Subclass, provide the fixture ``broker`` (a ``BrokerUnderTest``), done."""

    large_batch: ClassVar[int] = 300

    async def test_it_implements_the_ports(self, broker: BrokerUnderTest) -> None:
        assert isinstance(broker.publisher, IMessagePublisher)
        assert isinstance(broker.consumer, IMessageConsumer)
        async with broker.consumer.connect() as subscription:
            assert isinstance(subscription, ISubscription)

    async def test_everything_a_message_holds_survives(self, broker: BrokerUnderTest) -> None:
        full = OutboxMessage(
            message_id="m-full",
            event_type="conformance.Привет",
            payload=bytes(range(256)),
            occurred_at=datetime(2026, 3, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5))),
            schema_version=7,
            content_type="application/octet-stream",
            partition_key="Order/é 1",
            aggregate_type="Order",
            correlation_id="request-1",
            causation_id="command-1",
            tenant_id="t-1",
            headers={"traceparent": "00-ab-cd-01", "ключ": "значение", "Upper-Case": ""},
        )
        least = message("m-least", payload=b"")
        handled = Handled()
        assert list(await broker.publisher.publish([full, least])) == [None, None]
        async with consuming(broker, handled):
            await until(lambda: len(handled.done) == 2, TIMEOUT)  # noqa: PLR2004
        assert sorted(handled.done, key=lambda each: each.message_id) == [full, least]
        assert all(each.occurred_at.tzinfo is UTC for each in handled.done)

    async def test_the_messages_of_a_key_are_handled_in_order(
        self, broker: BrokerUnderTest
    ) -> None:
        sent = [message(f"{key}-{number}", f"key-{key}") for number in range(20) for key in "abcde"]
        handled = Handled(lambda _: asyncio.sleep(0))
        assert not any(await broker.publisher.publish(sent[:50]))
        async with consuming(broker, handled, concurrency=4, batch_size=3):
            assert not any(await broker.publisher.publish(sent[50:]))
            await until(lambda: len(handled.done) == len(sent), TIMEOUT)
        assert handled.by_key == {
            f"key-{key}": [f"{key}-{number}" for number in range(20)] for key in "abcde"
        }

    async def test_a_failed_message_is_tried_again_and_only_its_key_waits(
        self, broker: BrokerUnderTest
    ) -> None:
        handled = Handled()
        handled.fails["a-1"] = 2
        policy = _Recorded(max_attempts=3, base_delay=0.002)
        await broker.publisher.publish(
            [message("a-1", "a"), message("a-2", "a"), message("b-1", "b"), message("b-2", "b")]
        )
        async with consuming(broker, handled, retry_policy=policy):
            await until(lambda: len(handled.done) == 4, TIMEOUT)  # noqa: PLR2004
        assert handled.by_key == {"a": ["a-1", "a-2"], "b": ["b-1", "b-2"]}
        assert handled.calls_of("a-1") == 3  # noqa: PLR2004
        assert policy.delayed == [1, 2]
        assert await broker.consumer.dead_letters().count() == 0

    async def test_a_message_without_a_key_is_tried_again(self, broker: BrokerUnderTest) -> None:
        handled = Handled()
        handled.fails["m-1"] = 2
        await broker.publisher.publish([message("m-1"), message("m-2")])
        async with consuming(broker, handled):
            await until(lambda: len(handled.done) == 2, TIMEOUT)  # noqa: PLR2004
        assert sorted(handled.ids) == ["m-1", "m-2"]
        assert handled.calls_of("m-1") == 3  # noqa: PLR2004

    async def test_a_message_that_keeps_failing_is_parked_and_the_rest_goes_on(
        self, broker: BrokerUnderTest
    ) -> None:
        handled = Handled()
        handled.fails = {"a-1": 1000, "m-1": 1000}
        await broker.publisher.publish([message("a-1", "a"), message("a-2", "a"), message("m-1")])
        async with consuming(broker, handled):
            parked = await listed(broker, 2)
            await until(lambda: handled.ids == ["a-2"], TIMEOUT)
        assert {each.message_id for each in parked} == {"a-1", "m-1"}
        assert {each.error for each in parked} == {"HandlingFailed: a-1", "HandlingFailed: m-1"}
        assert {each.body for each in parked} == {message("").payload}
        assert (handled.calls_of("a-1"), handled.calls_of("m-1")) == (3, 3)

    async def test_what_cannot_be_read_is_parked_with_its_bytes_at_once(
        self, broker: BrokerUnderTest
    ) -> None:
        handled = Handled()
        attributes = {"id": "m-1", "type": "conformance.Told.v1"}
        await broker.publish_raw(b"no envelope \xff\x00", {})
        await broker.publish_raw(
            b"no zlib \xff\x00", {**attributes, "contentencoding": "zlib", "partitionkey": "a"}
        )
        await broker.publisher.publish([message("a-2", "a")])
        async with consuming(broker, handled):
            parked = await listed(broker, 2)
            await until(lambda: handled.ids == ["a-2"], TIMEOUT)
        assert {each.body for each in parked} == {b"no envelope \xff\x00", b"no zlib \xff\x00"}
        assert {each.error.partition(":")[0] for each in parked} == {"UnreadableMessageError"}
        assert handled.calls_of("m-1") == 0

    async def test_what_a_dead_consumer_has_not_settled_is_delivered_again_in_order(
        self, broker: BrokerUnderTest
    ) -> None:
        sent = [message(f"m-{number}", "a") for number in range(6)]
        await broker.publisher.publish(sent)
        async with broker.consumer.connect() as dying:
            received = [*await dying.receive(6)]
            await dying.acknowledge(received[:1])
        handled = Handled()
        async with consuming(broker, handled):
            await until(lambda: len(handled.done) == 5, TIMEOUT)  # noqa: PLR2004
        assert handled.ids == [f"m-{number}" for number in range(1, 6)]

    async def test_an_unroutable_message_fails_and_holds_back_its_key_alone(
        self, broker: BrokerUnderTest
    ) -> None:
        handled = Handled()
        outcomes = await broker.publisher.publish(
            [
                message("a-1", "a"),
                broker.unroutable(message("a-2", "a")),
                message("a-3", "a"),
                message("b-1", "b"),
                message("m-1"),
            ]
        )
        assert [type(each) for each in outcomes] == [
            type(None),
            UnroutableMessageError,
            HeldBackError,
            type(None),
            type(None),
        ]
        async with consuming(broker, handled):
            await until(lambda: len(handled.done) == 3, TIMEOUT)  # noqa: PLR2004
        assert sorted(handled.ids) == ["a-1", "b-1", "m-1"]

    async def test_stopping_finishes_what_has_begun_and_leaves_the_rest(
        self, broker: BrokerUnderTest
    ) -> None:
        begun, finish = asyncio.Event(), asyncio.Event()

        async def wait(_: OutboxMessage) -> None:
            begun.set()
            await finish.wait()

        first, second = Handled(wait), Handled()
        await broker.publisher.publish([message(f"m-{number}", "a") for number in range(5)])
        async with consuming(broker, first, batch_size=1) as consumer:
            await asyncio.wait_for(begun.wait(), TIMEOUT)
            stopping = asyncio.create_task(consumer.stop())
            await asyncio.sleep(0)
            finish.set()
            await asyncio.wait_for(stopping, TIMEOUT)
        assert first.ids == ["m-0"]
        async with consuming(broker, second):
            await until(lambda: len(second.done) == 4, TIMEOUT)  # noqa: PLR2004
        assert second.ids == ["m-1", "m-2", "m-3", "m-4"]

    async def test_a_handler_that_misses_the_drain_deadline_gets_its_message_again(
        self, broker: BrokerUnderTest
    ) -> None:
        begun = asyncio.Event()

        async def hang(_: OutboxMessage) -> None:
            begun.set()
            await asyncio.Event().wait()

        stuck, second = Handled(hang), Handled()
        await broker.publisher.publish([message("m-1", "a")])
        async with consuming(broker, stuck, drain_timeout=0.01):
            await asyncio.wait_for(begun.wait(), TIMEOUT)
        assert stuck.done == []
        async with consuming(broker, second):
            await until(lambda: second.ids == ["m-1"], TIMEOUT)

    async def test_no_more_is_held_than_fits(self, broker: BrokerUnderTest) -> None:
        finish = asyncio.Event()
        handled = Handled(lambda _: finish.wait())
        sent = [message(f"m-{number}", f"key-{number}") for number in range(40)]
        await broker.publisher.publish(sent)
        held: set[int] = set()

        def full(count: int) -> bool:
            held.add(count)
            return count >= 6  # noqa: PLR2004 - the capacity

        async with consuming(broker, handled, capacity=6, batch_size=1) as consumer:
            await until(lambda: full(consumer.held), TIMEOUT)
            await broker.publisher.publish([message("m-more", "a")])
            assert consumer.held == 6  # noqa: PLR2004
            finish.set()
            await until(lambda: held.add(consumer.held) or len(handled.done) > 40, TIMEOUT)  # noqa: PLR2004
        assert max(held) == 6  # noqa: PLR2004
        assert len(set(handled.ids)) == 41  # noqa: PLR2004

    async def test_an_empty_batch_is_no_harm(self, broker: BrokerUnderTest) -> None:
        assert list(await broker.publisher.publish([])) == []

    async def test_a_large_batch_is_published_and_consumed(self, broker: BrokerUnderTest) -> None:
        sent = [message(f"m-{number}", f"key-{number % 50}") for number in range(self.large_batch)]
        assert not any(await broker.publisher.publish(sent))
        handled = Handled()
        async with consuming(broker, handled):
            await until(lambda: len(handled.done) >= len(sent), TIMEOUT)
        assert sorted(handled.ids) == sorted(each.message_id for each in sent)


class _Recorded(RetryPolicy):
    """A policy that remembers behind which attempts it was asked for a delay."""

    __slots__ = ("delayed",)

    def __init__(self, **values: float) -> None:
        super().__init__(**{"max_delay": FAST.max_delay, **values})  # pyright: ignore[reportArgumentType] - one test's own
        object.__setattr__(self, "delayed", [])

    delayed: list[int]

    def delay(self, attempt: int) -> float:
        self.delayed.append(attempt)
        return RetryPolicy.delay(self, attempt)
