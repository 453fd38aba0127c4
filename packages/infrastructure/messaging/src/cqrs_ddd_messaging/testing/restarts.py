"""What an adapter promises when its broker goes away and comes back."""
# ruff: noqa: D102 - test names are sentences

import asyncio
from typing import ClassVar, Protocol

from cqrs_ddd_core import BrokerUnavailableError, OutboxMessage
from cqrs_ddd_core.testing import until
from cqrs_ddd_messaging.testing.world import TIMEOUT, BrokerUnderTest, Handled, consuming, message


class RestartableBroker(BrokerUnderTest, Protocol):
    """A broker that the suite may end and start again."""

    async def go_down(self) -> None:
        """End it."""
        ...

    async def come_back(self) -> None:
        """Start it with what it has stored."""
        ...


class BrokerRestartConformance:
    """Subclass, provide the fixture ``restartable_broker`` (a ``RestartableBroker``), done.

    Attributes:
        connection_breaks: whether a consumer sees that the broker is away; a client that waits for
            the broker by itself may hide it.
    """

    connection_breaks: ClassVar[bool] = True

    async def test_consumer_and_publisher_go_on_when_the_broker_is_back(
        self, restartable_broker: RestartableBroker
    ) -> None:
        broker, handled = restartable_broker, Handled()
        sent = [message(f"m-{number}", "a") for number in range(6)]
        async with consuming(broker, handled) as consumer:
            assert not any(await broker.publisher.publish(sent[:3]))
            await until(lambda: len(handled.done) == 3, TIMEOUT)  # noqa: PLR2004
            await broker.go_down()
            if self.connection_breaks:
                await until(lambda: not consumer.is_connected, TIMEOUT)
            assert not await _published(broker, sent[3:])
            await broker.come_back()
            await until(lambda: _published(broker, sent[3:]), TIMEOUT)
            await until(lambda: "m-5" in handled.ids, TIMEOUT)
        ids = list(dict.fromkeys(handled.ids))
        assert ids == [each.message_id for each in sent]

    async def test_what_was_being_handled_while_it_was_away_comes_again(
        self, restartable_broker: RestartableBroker
    ) -> None:
        broker, begun, finish = restartable_broker, asyncio.Event(), asyncio.Event()

        async def wait(_: OutboxMessage) -> None:
            begun.set()
            await finish.wait()

        handled = Handled(wait)
        async with consuming(broker, handled) as consumer:
            await broker.publisher.publish([message("m-1", "a"), message("m-2", "a")])
            await asyncio.wait_for(begun.wait(), TIMEOUT)
            await broker.go_down()
            finish.set()
            if self.connection_breaks:
                await until(lambda: not consumer.is_connected, TIMEOUT)
            await broker.come_back()
            await until(lambda: handled.ids[-1:] == ["m-2"] and consumer.held == 0, TIMEOUT)
        assert list(dict.fromkeys(handled.ids)) == ["m-1", "m-2"]


async def _published(broker: BrokerUnderTest, messages: list[OutboxMessage]) -> bool:
    try:
        return not any(await broker.publisher.publish(messages))
    except BrokerUnavailableError:
        return False
