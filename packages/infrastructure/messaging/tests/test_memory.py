"""The broker in memory keeps the promises of a broker."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

import pytest

from cqrs_ddd_core import OutboxMessage
from cqrs_ddd_messaging import MessageEnvelope
from cqrs_ddd_messaging.memory import InMemoryConsumer, InMemoryMessageBus, InMemoryPublisher
from cqrs_ddd_messaging.testing import BrokerConformance, BrokerRestartConformance, Handled
from cqrs_ddd_messaging.testing.dead_letters import listed
from cqrs_ddd_messaging.testing.world import consuming, message


class MemoryUnderTest:
    def __init__(self) -> None:
        self.bus = InMemoryMessageBus()
        self.bus.declare_queue("told", "conformance.*")
        self.publisher = InMemoryPublisher(self.bus)
        self.consumer = InMemoryConsumer(self.bus, "told")

    async def publish_raw(self, body: bytes, attributes: Mapping[str, str]) -> None:
        self.bus.publish(MessageEnvelope(attributes, body), "conformance.raw")

    def unroutable(self, message: OutboxMessage) -> OutboxMessage:
        return replace(message, event_type="nobody.listens")

    async def go_down(self) -> None:
        self.bus.go_down()

    async def come_back(self) -> None:
        self.bus.come_back()


class TestInMemory(BrokerConformance, BrokerRestartConformance):
    @pytest.fixture
    def broker(self) -> MemoryUnderTest:
        return MemoryUnderTest()

    @pytest.fixture
    def restartable_broker(self) -> MemoryUnderTest:
        return MemoryUnderTest()


async def test_a_test_can_ask_what_was_published() -> None:
    bus = InMemoryMessageBus()
    bus.declare_queue("all")
    publisher = InMemoryPublisher(bus)
    await publisher.publish([message("m-1"), message("m-2")])
    publisher.assert_published("conformance.Told")
    publisher.assert_published("conformance.Told", times=2)
    with pytest.raises(AssertionError, match="not published"):
        publisher.assert_published("conformance.Other")
    assert bus.waiting("all") == 2


async def test_a_letter_without_an_id_is_named_after_its_bytes() -> None:
    broker = MemoryUnderTest()
    await broker.publish_raw(b"no envelope", {})
    async with consuming(broker, Handled()):
        (letter,) = await listed(broker, 1)
    assert letter.message_id == f"sha256:{sha256(b'no envelope').hexdigest()[:16]}"
