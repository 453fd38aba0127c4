"""``cqrs-ddd broker`` on messages that real consumers have parked."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from cqrs_ddd_cli.main import app
from cqrs_ddd_core import (
    BaseEventConsumer,
    ConsumerSettings,
    IMessagePublisher,
    OutboxMessage,
    RetryPolicy,
    utc_now,
)
from cqrs_ddd_core.testing import until
from cqrs_ddd_messaging.memory import InMemoryConsumer, InMemoryMessageBus, InMemoryPublisher
from cqrs_ddd_messaging.rabbitmq import (
    RabbitMQConnectionManager,
    RabbitMQConsumer,
    RabbitMQPublisher,
    RabbitMQQueue,
)

from .conftest import MODULE

SETTINGS = ConsumerSettings(retry_policy=RetryPolicy(max_attempts=2, base_delay=0.001))
PAYLOAD = b'{"total": 30}'


class Billing:
    """Publishes, handles, and remembers; what is in ``fails`` cannot be handled."""

    def __init__(self, publisher: IMessagePublisher, broker: Any) -> None:
        self.publisher, self.broker = publisher, broker
        self.fails = {"m-1", "m-2", "m-3"}
        self.handled: list[str] = []

    async def handle(self, message: OutboxMessage) -> None:
        if message.message_id in self.fails:
            raise ValueError("no account [billing]")
        self.handled.append(message.message_id)

    def consumer(self) -> BaseEventConsumer:
        return BaseEventConsumer(self.broker, self.handle, name="billing", settings=SETTINGS)

    async def publish(self) -> None:
        ids = ("m-1", "m-2", "m-3")
        assert not any(await self.publisher.publish([message(each) for each in ids]))

    async def work(self, done: Any) -> None:
        consumer = self.consumer()
        await consumer.start()
        try:
            await until(done, timeout=60)
            await until(lambda: consumer.held == 0, timeout=60)
        finally:
            await consumer.stop()


def message(message_id: str) -> OutboxMessage:
    return OutboxMessage(
        message_id=message_id,
        event_type="OrderPlaced",
        partition_key="Order/1",
        payload=PAYLOAD,
        occurred_at=utc_now(),
    )


def in_memory() -> Billing:
    bus = InMemoryMessageBus()
    bus.declare_queue("billing")
    return Billing(InMemoryPublisher(bus), InMemoryConsumer(bus, "billing"))


@pytest.fixture
def billing(module: ModuleType) -> Billing:
    billing = in_memory()
    asyncio.run(billing.publish())
    asyncio.run(billing.work(three_parked(billing)))
    vars(module).update(consumer=billing.broker, running=billing.consumer, other=billing)
    return billing


def three_parked(billing: Billing) -> Any:
    async def found() -> bool:
        return await billing.broker.dead_letters().count() == 3

    return found


def run(*arguments: str, name: str = "consumer", answer: str | None = None) -> Result:
    reference = f"{MODULE}:{name}"
    command = ["broker", *arguments, "--consumer", reference]
    return CliRunner().invoke(app, command, input=answer)


def data_of(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return json.loads(result.stdout)


def handled_after(billing: Billing, count: int) -> list[str]:
    billing.fails.clear()
    asyncio.run(billing.work(lambda: len(billing.handled) == count))
    return billing.handled


@pytest.mark.usefixtures("billing")
class TestDeadLetters:
    def test_it_lists_them_with_their_errors(self) -> None:
        listed = data_of("dead-letters", "--limit", "2")
        assert listed["total"] == 3
        first, second = listed["dead_letters"]
        assert first.pop("parked_at") < second["parked_at"]
        assert first == {
            "message_id": "m-1",
            "event_type": "OrderPlaced",
            "partition_key": "Order/1",
            "topic": "billing",
            "error": "ValueError: no account [billing]",
            "attempts": 2,
            "size_bytes": len(PAYLOAD),
        }

    def test_it_gives_their_bytes_when_asked(self) -> None:
        first = data_of("dead-letters", "--bodies")["dead_letters"][0]
        assert b64decode(first["body_base64"]) == PAYLOAD

    def test_it_is_a_table_for_people(self) -> None:
        result = run("dead-letters", "--limit", "2")
        for text in ("m-1", "OrderPlaced  Order/1", "ValueError: no account [billing]", "13"):
            assert text in result.stdout
        assert "2 of 3 are shown" in result.stdout

    def test_a_running_consumer_can_be_named_instead(self) -> None:
        assert "m-3" in run("dead-letters", name="running").stdout


class TestRedrive:
    def test_those_with_an_id_go_back(self, billing: Billing) -> None:
        assert data_of("redrive", "m-2") == {"redriven": 1, "missing": []}
        assert handled_after(billing, 1) == ["m-2"]
        assert data_of("dead-letters")["total"] == 2

    def test_all_go_back_in_order(self, billing: Billing) -> None:
        result = run("redrive", "--all", "--yes")
        assert (result.exit_code, result.stderr) == (0, "")
        assert "Redriven: 3." in result.stdout
        assert handled_after(billing, 3) == ["m-1", "m-2", "m-3"]
        assert run("dead-letters").stdout == "There are no dead letters.\n"

    def test_an_id_that_is_no_dead_letter_is_named(self, billing: Billing) -> None:
        result = run("redrive", "m-1", "m-9")
        assert result.exit_code == 1
        assert "Redriven: 1." in result.stdout
        assert "these ids: m-9" in result.stderr
        assert handled_after(billing, 1) == ["m-1"]

    def test_all_needs_an_answer(self, billing: Billing) -> None:
        result = run("redrive", "--all")
        assert result.exit_code == 2
        assert "Redrive all 3 dead letters?" in result.stderr
        assert len(asyncio.run(billing.broker.dead_letters().dead_letters())) == 3

    @pytest.mark.usefixtures("billing")
    @pytest.mark.parametrize("arguments", [[], ["m-1", "--all"]])
    def test_it_is_said_which_in_one_way(self, arguments: list[str]) -> None:
        result = run("redrive", *arguments)
        assert result.exit_code == 2
        assert "by message id, or --all" in result.stderr


class TestDiscard:
    def test_they_never_come_again(self, billing: Billing) -> None:
        assert data_of("discard", "m-1", "m-3", "--yes") == {"discarded": 2, "missing": []}
        run("redrive", "--all", "--yes")
        assert handled_after(billing, 1) == ["m-2"]

    def test_it_needs_an_answer(self, billing: Billing) -> None:
        result = run("discard", "m-1")
        assert result.exit_code == 2
        assert "Remove 1 dead letter(s) for good?" in result.stderr
        assert asyncio.run(billing.broker.dead_letters().count()) == 3


def test_what_is_no_consumer_is_refused(module: ModuleType) -> None:
    vars(module)["thing"] = SimpleNamespace(broker=SimpleNamespace())
    result = run("dead-letters", name="thing")
    assert result.exit_code == 2
    assert "a consumer of a broker whose dead letters can be looked after" in result.stderr


def test_a_broker_that_is_away_is_trouble(module: ModuleType) -> None:
    bus = InMemoryMessageBus()
    bus.go_down()
    vars(module)["consumer"] = InMemoryConsumer(bus, "billing")
    result = run("dead-letters")
    assert result.exit_code == 1
    assert "The broker at memory cannot be reached" in result.stderr


@pytest.fixture
def rabbitmq(rabbitmq_url: str, module: ModuleType) -> Iterator[Billing]:
    name = f"cqrs-test-{uuid4().hex[:12]}"
    queue = RabbitMQQueue(name=name, exchange=f"{name}.x")

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Billing]:
        async with RabbitMQPublisher(rabbitmq_url, queue.exchange) as publisher:
            yield Billing(publisher, RabbitMQConsumer(rabbitmq_url, queue))

    async def park() -> None:
        async with opened() as billing:
            async with billing.broker.connect():
                pass  # declares the queue
            await billing.publish()
            await billing.work(three_parked(billing))

    async def tear_down() -> None:
        async with RabbitMQConnectionManager(rabbitmq_url) as connection:
            channel = await connection.open_channel()
            await queue.delete(channel)
            await channel.exchange_delete(queue.exchange)

    asyncio.run(park())
    vars(module)["consumer"] = lambda: RabbitMQConsumer(rabbitmq_url, queue)
    yield Billing(RabbitMQPublisher(rabbitmq_url, queue.exchange), vars(module)["consumer"]())
    asyncio.run(tear_down())


def test_it_works_on_a_real_broker_and_leaves_nothing_open(rabbitmq: Billing) -> None:
    assert data_of("dead-letters")["total"] == 3
    assert run("redrive", "m-2").exit_code == 0
    assert run("discard", "m-1", "--yes").exit_code == 0
    assert run("redrive", "--all", "--yes").exit_code == 0
    assert handled_after(rabbitmq, 2) == ["m-2", "m-3"]
