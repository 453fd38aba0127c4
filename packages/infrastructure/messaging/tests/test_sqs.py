"""SQS keeps the promises of a broker."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import pytest

from cqrs_ddd_core import Delivery, OutboxMessage
from cqrs_ddd_core.testing import until
from cqrs_ddd_messaging import MessageEnvelope
from cqrs_ddd_messaging.errors import HeldBackError, MessageNotPublishedError
from cqrs_ddd_messaging.sqs import SQSConfig, SQSConsumer, SQSPublisher, SQSQueue
from cqrs_ddd_messaging.sqs.consumer import SQSSubscription
from cqrs_ddd_messaging.sqs.queue import fifo_fields
from cqrs_ddd_messaging.testing import BrokerConformance, Handled
from cqrs_ddd_messaging.testing.dead_letters import listed
from cqrs_ddd_messaging.testing.world import TIMEOUT, consuming, message


def config(url: str) -> SQSConfig:
    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return SQSConfig(region="eu-central-1", endpoint_url=url, options=credentials)


class SQSUnderTest:
    def __init__(self, url: str, suffix: str = ".fifo", visibility: int = 30) -> None:
        self.config = config(url)
        self.queue = SQSQueue(name=f"cqrs-test-{uuid4().hex[:12]}{suffix}", visibility=visibility)
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
