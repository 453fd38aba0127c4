"""SQS keeps the promises of a broker."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from cqrs_ddd_core import Delivery, OutboxMessage, RetryPolicy
from cqrs_ddd_core.testing import until
from cqrs_ddd_messaging import MessageEnvelope
from cqrs_ddd_messaging.errors import HeldBackError, MessageNotPublishedError
from cqrs_ddd_messaging.sqs import SQSConfig, SQSConsumer, SQSPublisher, SQSQueue
from cqrs_ddd_messaging.sqs.consumer import SQSSubscription
from cqrs_ddd_messaging.sqs.queue import fifo_fields
from cqrs_ddd_messaging.testing import BrokerConformance, BrokerRestartConformance, Handled
from cqrs_ddd_messaging.testing.dead_letters import listed
from cqrs_ddd_messaging.testing.world import TIMEOUT, consuming, message
from tests.servers.sqs import RestartableSQS


def config(url: str) -> SQSConfig:
    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return SQSConfig(region="eu-central-1", endpoint_url=url, options=credentials)


class SQSUnderTest:
    def __init__(self, url: str, suffix: str = ".fifo", **settings: int) -> None:
        self.config = config(url)
        self.queue = SQSQueue(name=f"cqrs-test-{uuid4().hex[:12]}{suffix}", **settings)
        self.server: RestartableSQS | None = None
        self.publisher = SQSPublisher(self.config, self._queue_of)
        self.consumer = SQSConsumer(self.config, self.queue, wait=0)

    def _queue_of(self, message: OutboxMessage) -> str:
        return "nobody-listens.fifo" if message.event_type == "nobody" else self.queue.name

    async def set_up(self) -> None:
        async with self.config.client() as client:
            self.url, self.dead_url = await self.queue.declare(client)

    async def tear_down(self) -> None:
        await self.publisher.close()
        async with self.config.client() as client:
            await client.delete_queue(QueueUrl=self.url)
            await client.delete_queue(QueueUrl=self.dead_url)

    async def publish_raw(self, body: bytes, attributes: Mapping[str, str]) -> None:
        fields = fifo_fields(uuid4().hex, attributes.get("partitionkey", ""))
        async with self.config.client() as client:
            await client.send_message(
                QueueUrl=self.url, MessageBody=MessageEnvelope(attributes, body).to_json(), **fields
            )

    async def go_down(self) -> None:
        assert self.server is not None
        await asyncio.to_thread(self.server.stop)

    async def come_back(self) -> None:
        assert self.server is not None
        self.server.start()

    def unroutable(self, message: OutboxMessage) -> OutboxMessage:
        return OutboxMessage(
            message_id=message.message_id,
            event_type="nobody",
            payload=message.payload,
            occurred_at=message.occurred_at,
            partition_key=message.partition_key,
        )


@pytest.fixture
async def broker(sqs_url: str) -> AsyncGenerator[SQSUnderTest]:
    broker = SQSUnderTest(sqs_url)
    await broker.set_up()
    yield broker
    await broker.tear_down()


@pytest.fixture
async def standard(sqs_url: str) -> AsyncGenerator[SQSUnderTest]:
    broker = SQSUnderTest(sqs_url, suffix="", visibility=2)
    await broker.set_up()
    yield broker
    await broker.tear_down()


class TestSQS(BrokerConformance):
    """On a FIFO queue."""

    large_batch = 60  # moto is slow


class TestARestartedSQS(BrokerRestartConformance):
    # When several messages of a group become visible again at once, moto hands out the last of them
    # and those behind it first; SQS itself keeps the order of the group.
    answers_may_be_lost = True

    @pytest.fixture
    async def restartable_broker(
        self, restartable_sqs: RestartableSQS
    ) -> AsyncGenerator[SQSUnderTest]:
        broker = SQSUnderTest(restartable_sqs.url, visibility=2)
        broker.server = restartable_sqs
        await broker.set_up()
        yield broker
        await broker.tear_down()


async def test_what_sqs_parked_by_itself_is_redriven_like_the_rest(sqs_url: str) -> None:
    broker = SQSUnderTest(sqs_url, max_receives=1)
    await broker.set_up()
    await broker.publisher.publish([message("m-1", "a"), message("m-2")])
    letters = broker.consumer.dead_letters()

    async def parked_by_deaths() -> bool:
        with suppress(TimeoutError):
            async with broker.consumer.connect() as dying, asyncio.timeout(1):
                await dying.receive(2)
        return await letters.count() == 2

    await until(parked_by_deaths, TIMEOUT)
    found = {each.message_id: each for each in await listed(broker, 2)}
    assert {key: each.partition_key for key, each in found.items()} == {"m-1": "a", "m-2": ""}
    assert found["m-1"].error.startswith("SQS parked it: ")
    assert found["m-1"].parked_at is None
    assert sorted(await letters.redrive()) == ["m-1", "m-2"]
    handled = Handled()
    async with consuming(broker, handled):
        await until(lambda: sorted(handled.ids) == ["m-1", "m-2"], TIMEOUT)
    await broker.tear_down()


async def test_many_letters_of_a_key_are_seen_and_redriven_in_order(broker: SQSUnderTest) -> None:
    ids = [f"m-{number:02}" for number in range(12)]  # SQS shows ten of a group at once
    handled = Handled()
    handled.fails = dict.fromkeys(ids, 1)
    await broker.publisher.publish([message(each, "a") for each in ids])
    async with consuming(broker, handled, retry_policy=RetryPolicy(max_attempts=1)):
        found = await listed(broker, len(ids))
        assert [each.message_id for each in found] == ids
        assert await broker.consumer.dead_letters().redrive() == ids
        await until(lambda: handled.ids == ids, TIMEOUT)


async def test_a_foreign_group_is_the_key_of_its_letters(broker: SQSUnderTest) -> None:
    async with broker.config.client() as client:
        for number in range(2):
            await client.send_message(
                QueueUrl=broker.url,
                MessageBody=f"no envelope {number}",
                **fifo_fields(f"{number}", "g"),
            )
    async with consuming(broker, Handled()):
        found = await listed(broker, 2)
    assert [(each.partition_key, each.body) for each in found] == [
        ("g", b"no envelope 0"),
        ("g", b"no envelope 1"),
    ]
    await broker.consumer.dead_letters().redrive()
    async with broker.consumer.connect() as subscription:
        received = list(await subscription.receive(2))
        while len(received) < 2:
            received += await subscription.receive(2)
    assert [(each.key, each.body) for each in received] == [
        ("g", b"no envelope 0"),
        ("g", b"no envelope 1"),
    ]


async def test_a_standard_queue_delays_a_retry_and_counts_the_attempts(
    standard: SQSUnderTest,
) -> None:
    handled = Handled()
    handled.fails["m-1"] = 1000
    await standard.publisher.publish([message("m-1"), message("m-2")])
    async with consuming(standard, handled):
        parked = await listed(standard, 1)
    assert [each.message_id for each in parked] == ["m-1"]
    assert (handled.calls_of("m-1"), handled.ids) == (3, ["m-2"])


async def test_what_is_handled_for_longer_than_the_visibility_is_not_delivered_again(
    standard: SQSUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, beats, hide = asyncio.Event(), list[int](), SQSSubscription._hide  # pyright: ignore[reportPrivateUsage] - the heartbeat itself

    async def counted(self: SQSSubscription, handles: Sequence[str], seconds: int) -> Any:
        beats.append(len(handles))
        return await hide(self, handles, seconds)

    monkeypatch.setattr(SQSSubscription, "_hide", counted)
    handled, other = Handled(lambda _: finish.wait()), Handled()
    await standard.publisher.publish([message("m-1")])
    async with consuming(standard, handled):
        await until(lambda: handled.calls, TIMEOUT)
        async with consuming(standard, other):
            await until(lambda: beats.count(1) > 3, TIMEOUT)  # a third of the visibility each
        finish.set()
        await until(lambda: handled.ids == ["m-1"], TIMEOUT)
    assert other.calls == []
    assert len(handled.calls) == 1


async def test_an_entry_that_fails_fails_alone_and_holds_back_its_key(
    broker: SQSUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = await broker.publisher._opened()  # pyright: ignore[reportPrivateUsage]
    send = client.send_message_batch

    async def failing(QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        bad = [each for each in Entries if '"id": "a-1"' in each["MessageBody"]]
        good = [each for each in Entries if each not in bad]
        answer: dict[str, Any] = await send(QueueUrl=QueueUrl, Entries=good) if good else {}
        failed = [{"Id": each["Id"], "Code": "InternalError", "SenderFault": False} for each in bad]
        return {**answer, "Failed": failed}

    monkeypatch.setattr(client, "send_message_batch", failing)
    sent = [message("a-1", "a"), message("b-1", "b"), message("a-2", "a"), message("b-2", "b")]
    outcomes = await broker.publisher.publish(sent)
    assert [type(each) for each in outcomes] == [
        MessageNotPublishedError,
        type(None),
        HeldBackError,
        type(None),
    ]


async def test_an_entry_that_is_not_deleted_is_deleted_by_the_next_attempt_or_comes_again(
    standard: SQSUnderTest,
) -> None:
    await standard.publisher.publish([message("m-1"), message("m-2"), message("m-3")])
    async with standard.consumer.connect() as subscription:
        received: dict[str, Delivery] = {}
        while len(received) < 3:
            received.update({each.message_id: each for each in await subscription.receive(3)})
        client: Any = subscription._client  # pyright: ignore[reportPrivateUsage] - what fails
        delete, failures = client.delete_message_batch, {"m-1": 1, "m-2": 1000}
        ids = {each.token["ReceiptHandle"]: message_id for message_id, each in received.items()}

        async def failing(QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
            bad = list[dict[str, Any]]()
            for entry in Entries:
                message_id = ids[entry["ReceiptHandle"]]
                failures[message_id] = failures.get(message_id, 0) - 1
                if failures[message_id] >= 0:
                    bad.append(entry)
            good = [entry for entry in Entries if entry not in bad]
            if good:
                await delete(QueueUrl=QueueUrl, Entries=good)
            return {
                "Failed": [
                    {"Id": entry["Id"], "Code": "InternalError", "SenderFault": False}
                    for entry in bad
                ]
            }

        client.delete_message_batch = failing
        await subscription.acknowledge(list(received.values()))
    again = Handled()
    async with consuming(standard, again):
        await until(lambda: again.ids, TIMEOUT)
        await standard.publisher.publish([message("m-4")])
        await until(lambda: "m-4" in again.ids, TIMEOUT)
    assert again.ids == ["m-2", "m-4"]


async def test_an_entry_that_cannot_be_kept_hidden_is_lost_alone(standard: SQSUnderTest) -> None:
    await standard.publisher.publish([message("m-1"), message("m-2")])
    async with standard.consumer.connect() as subscription:
        received: dict[str, Delivery] = {}
        while len(received) < 2:
            received.update({each.message_id: each for each in await subscription.receive(2)})
        client: Any = subscription._client  # pyright: ignore[reportPrivateUsage] - what fails
        hide, beats = client.change_message_visibility_batch, list[int]()
        gone = received["m-1"].token["ReceiptHandle"]

        async def failing(QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
            beats.append(len(Entries))
            good = [entry for entry in Entries if entry["ReceiptHandle"] != gone]
            await hide(QueueUrl=QueueUrl, Entries=good)
            fault = {"Code": "ReceiptHandleIsInvalid", "SenderFault": True}
            return {"Failed": [{"Id": each["Id"], **fault} for each in Entries if each not in good]}

        client.change_message_visibility_batch = failing
        await until(lambda: beats.count(1) > 1, TIMEOUT)  # the other one is kept on being hidden
        assert (received["m-1"].lost, received["m-2"].lost) == (True, False)
        await subscription.acknowledge([received["m-2"]])
    again = Handled()
    async with consuming(standard, again):
        await until(lambda: again.ids == ["m-1"], TIMEOUT)
