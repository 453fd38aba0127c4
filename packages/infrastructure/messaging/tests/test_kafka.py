"""Kafka keeps the promises of a broker, as far as librdkafka's mock cluster can tell."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from uuid import uuid4

import pytest

from cqrs_ddd_core import Delivery, OutboxMessage
from cqrs_ddd_core.testing import until
from cqrs_ddd_messaging.kafka import KafkaConfig, KafkaConsumer, KafkaPublisher
from cqrs_ddd_messaging.kafka.client import PREFIX, aiokafka
from cqrs_ddd_messaging.testing import BrokerConformance, BrokerRestartConformance, Handled
from cqrs_ddd_messaging.testing.world import TIMEOUT, consuming, message
from tests.servers.kafka import FETCH, NOWHERE, OFFSET_COMMIT, PRODUCE, KafkaCluster, MockCluster

NOT_ENOUGH_REPLICAS, REBALANCE_IN_PROGRESS, MESSAGE_TOO_LARGE = 19, 27, 10
NOT_LEADER, LEADER_UNKNOWN, TIMED_OUT = 6, 5, 7


class KafkaUnderTest:
    def __init__(self, cluster: KafkaCluster) -> None:
        self.cluster = cluster
        self.topic = f"cqrs-test-{uuid4().hex[:12]}"
        cluster.create_topic(self.topic, 4)
        cluster.create_topic(f"{self.topic}.dead", 1)
        options = {"retry_backoff_ms": 10, "metadata_max_age_ms": 1000}
        # A new member waits for the session of one that has left: the mock has it so.
        consumer_options = {
            "session_timeout_ms": 2000,
            "heartbeat_interval_ms": 100,
            "fetch_max_wait_ms": 20,
        }
        self.config = KafkaConfig(
            bootstrap_servers=cluster.bootstrap, options=options, consumer_options=consumer_options
        )
        self.publisher = KafkaPublisher(self.config, self._topic_of, topic_timeout=1)
        self.consumer = self.member()

    def member(self) -> KafkaConsumer:
        return KafkaConsumer(self.config, self.topic, group=f"{self.topic}-group")

    def _topic_of(self, message: OutboxMessage) -> str:
        return NOWHERE if message.event_type == "nobody" else self.topic

    async def tear_down(self) -> None:
        await self.publisher.close()

    async def publish_raw(self, body: bytes, attributes: Mapping[str, str]) -> None:
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=self.cluster.bootstrap)
        await producer.start()
        try:
            headers = [(f"{PREFIX}{name}", value.encode()) for name, value in attributes.items()]
            key = attributes.get("partitionkey", "").encode() or None
            await producer.send_and_wait(self.topic, body, key=key, headers=headers)
        finally:
            await producer.stop()

    def unroutable(self, message: OutboxMessage) -> OutboxMessage:
        return replace(message, event_type="nobody")


class FailingKafka(KafkaUnderTest):
    def __init__(self, cluster: MockCluster) -> None:
        super().__init__(cluster)
        self.mock = cluster

    async def go_down(self) -> None:
        self.mock.go_down()

    async def come_back(self) -> None:
        self.mock.come_back()


@pytest.fixture
async def broker(kafka: KafkaCluster) -> AsyncGenerator[KafkaUnderTest]:
    broker = KafkaUnderTest(kafka)
    yield broker
    await broker.tear_down()


@pytest.fixture
async def failing(mock_kafka: MockCluster) -> AsyncGenerator[FailingKafka]:
    broker = FailingKafka(mock_kafka)
    yield broker
    await broker.tear_down()


class TestKafka(BrokerConformance):
    pass


class TestKafkaThatWasAway(BrokerRestartConformance):
    connection_breaks = False

    @pytest.fixture
    async def restartable_broker(self, failing: FailingKafka) -> AsyncGenerator[FailingKafka]:
        failing.publisher = KafkaPublisher(failing.config, failing.topic, confirm_timeout=0.5)
        yield failing
        await failing.come_back()


async def test_nothing_is_committed_beyond_a_message_that_has_not_been_handled(
    broker: KafkaUnderTest,
) -> None:
    sent = [message(f"m-{number}", "a") for number in range(4)]
    await broker.publisher.publish(sent)
    async with broker.consumer.connect() as subscription:
        received: list[Delivery] = []
        while len(received) < len(sent):
            received += await subscription.receive(4)
        first, second, third, fourth = received
        await subscription.acknowledge([first, third, fourth])
    handled = Handled()
    async with consuming(broker, handled):
        await until(lambda: len(handled.done) == 3, TIMEOUT)
    assert handled.ids == ["m-1", "m-2", "m-3"]
    assert second.lost


async def test_a_batch_that_kafka_refuses_for_a_moment_is_confirmed_in_the_end(
    failing: FailingKafka,
) -> None:
    failing.mock.fail(PRODUCE, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS)
    assert await failing.publisher.publish([message("m-1", "a"), message("m-2", "a")]) == [None] * 2
    handled = Handled()
    async with consuming(failing, handled):
        await until(lambda: handled.ids == ["m-1", "m-2"], TIMEOUT)


async def test_a_message_that_kafka_refuses_holds_back_its_key(failing: FailingKafka) -> None:
    failing.mock.fail(PRODUCE, MESSAGE_TOO_LARGE)
    outcomes = await failing.publisher.publish([message("a-1", "a"), message("a-2", "a")])
    assert [type(each).__name__ for each in outcomes] == [
        "MessageNotPublishedError",
        "HeldBackError",
    ]


async def test_a_commit_that_fails_only_means_that_messages_come_again(
    failing: FailingKafka,
) -> None:
    failing.mock.fail(OFFSET_COMMIT, *[REBALANCE_IN_PROGRESS] * 5)
    handled = Handled()
    await failing.publisher.publish([message("m-1", "a"), message("m-2", "a")])
    async with consuming(failing, handled):
        await until(lambda: {"m-1", "m-2"} <= set(handled.ids), TIMEOUT)
        await failing.publisher.publish([message("m-3", "a")])
        await until(lambda: "m-3" in handled.ids, TIMEOUT)
    assert list(dict.fromkeys(handled.ids)) == ["m-1", "m-2", "m-3"]


async def test_errors_while_publishing_and_fetching_lose_and_invert_nothing(
    failing: FailingKafka,
) -> None:
    handled, keys = Handled(), [f"key-{number}" for number in range(8)]
    sent = [message(f"{key}-{number:02}", key) for number in range(20) for key in keys]
    async with consuming(failing, handled):
        for start in range(0, len(sent), 40):
            failing.mock.fail(PRODUCE, NOT_LEADER, TIMED_OUT, NOT_ENOUGH_REPLICAS)
            failing.mock.fail(FETCH, NOT_LEADER, TIMED_OUT, LEADER_UNKNOWN)
            waiting = sent[start : start + 40]
            while waiting:  # as the relay does: what was not confirmed, again and in order
                outcomes = await failing.publisher.publish(waiting)
                waiting = [each for each, error in zip(waiting, outcomes, strict=True) if error]
        await until(lambda: len(set(handled.ids)) == len(sent), TIMEOUT)
    arrived = {key: list(dict.fromkeys(ids)) for key, ids in handled.by_key.items()}
    assert arrived == {key: [f"{key}-{number:02}" for number in range(20)] for key in keys}


async def test_partitions_go_to_another_member_once_their_messages_are_handled(
    broker: KafkaUnderTest,
) -> None:
    await broker.publisher.publish([message("m-1", "a"), message("m-2", "a")])
    async with broker.consumer.connect() as subscription:
        received: list[Delivery] = []
        while len(received) < 2:
            received += await subscription.receive(2)
        partitions = {each.token[0] for each in received}
        revoked = asyncio.create_task(subscription.revoked(partitions))
        await subscription.acknowledge(received[:1])
        assert not (await asyncio.wait([revoked], timeout=0.05))[0]
        await subscription.acknowledge(received[1:])
        await asyncio.wait_for(revoked, TIMEOUT)
        assert not any(each.lost for each in received)
        subscription.assigned([])
    handled = Handled()
    async with consuming(broker, handled):
        await broker.publisher.publish([message("m-3", "a")])
        await until(lambda: handled.ids == ["m-3"], TIMEOUT)


async def test_what_is_not_handled_when_its_partition_has_to_go_is_lost_here(
    broker: KafkaUnderTest,
) -> None:
    await broker.publisher.publish([message("m-1", "a")])
    member = KafkaConsumer(broker.config, broker.topic, group="hasty", rebalance_drain=0.01)
    async with member.connect() as subscription:
        (received,) = await subscription.receive(1)
        await subscription.revoked({received.token[0]})
        assert received.lost
        await subscription.acknowledge([received])  # too late, and no harm


@pytest.fixture
async def real_broker(real_kafka: KafkaCluster) -> AsyncGenerator[KafkaUnderTest]:
    """The mock refuses a member that asks for its partitions after the leader of its group."""
    broker = KafkaUnderTest(real_kafka)
    yield broker
    await broker.tear_down()


async def test_a_member_that_joins_and_leaves_again_costs_neither_a_message_nor_the_order(
    real_broker: KafkaUnderTest,
) -> None:
    handled, sent = Handled(), {f"key-{number}": list[str]() for number in range(16)}

    async def publish_round() -> None:
        for key, ids in sent.items():
            ids.append(f"{key}-{len(ids):04}")
        latest = [message(ids[-1], key) for key, ids in sent.items()]
        assert not any(await real_broker.publisher.publish(latest))

    async with consuming(real_broker, handled) as first:
        await publish_round()
        await until(lambda: first.settled, TIMEOUT)
        async with consuming(real_broker, handled) as second:

            async def both_work() -> bool:
                await publish_round()
                return second.settled > 0

            await until(both_work, TIMEOUT)
        await publish_round()
        count = sum(map(len, sent.values()))
        await until(lambda: len(set(handled.ids)) == count, TIMEOUT)
    assert {key: list(dict.fromkeys(ids)) for key, ids in handled.by_key.items()} == sent
