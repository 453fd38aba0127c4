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
        answers_may_be_lost: whether messages that were handed over, while the broker went away and
            nobody heard of it, may come behind later ones of their key: an emulated broker's fault.
    """

    connection_breaks: ClassVar[bool] = True
    answers_may_be_lost: ClassVar[bool] = False

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

    async def test_restarts_under_load_lose_and_invert_nothing(
        self, restartable_broker: RestartableBroker
    ) -> None:
        broker, handled, relay = restartable_broker, Handled(), _Relay(restartable_broker)
        async with consuming(broker, handled):
            async with asyncio.TaskGroup() as group:
                group.create_task(relay.publish_on_and_on())
                for _ in range(2):
                    count, refused = len(handled.done), relay.refused
                    await until(lambda count=count: len(handled.done) > count, TIMEOUT)
                    await broker.go_down()
                    await until(lambda refused=refused: relay.refused > refused, TIMEOUT)
                    await broker.come_back()
                relay.stopped = True
            count = sum(map(len, relay.sent.values()))
            await until(lambda: len(set(handled.ids)) == count, TIMEOUT)
        arrived = {key: list(dict.fromkeys(ids)) for key, ids in handled.by_key.items()}
        if self.answers_may_be_lost:
            arrived = {key: sorted(ids) for key, ids in arrived.items()}  # as they are numbered
        assert arrived == relay.sent


class _Relay:
    """Publishes two messages of each key again and again, until all of them are confirmed."""

    def __init__(self, broker: BrokerUnderTest) -> None:
        self.sent = {f"key-{number}": list[str]() for number in range(8)}
        self.refused, self.stopped = 0, False
        self._publisher, self._waiting = broker.publisher, list[OutboxMessage]()

    async def publish_on_and_on(self) -> None:
        while not self.stopped:
            for key, ids in self.sent.items():
                new = [f"{key}-{len(ids) + number:05}" for number in range(2)]
                ids.extend(new)
                self._waiting += [message(each, key) for each in new]
            await until(self._confirmed, 2 * TIMEOUT)  # a start of the broker may be in it

    async def _confirmed(self) -> bool:
        try:
            outcomes = await self._publisher.publish(self._waiting)
        except BrokerUnavailableError:
            self.refused += 1
            return False
        pairs = zip(self._waiting, outcomes, strict=True)
        self._waiting = [each for each, error in pairs if error is not None]
        self.refused += bool(self._waiting)
        return not self._waiting


async def _published(broker: BrokerUnderTest, messages: list[OutboxMessage]) -> bool:
    try:
        return not any(await broker.publisher.publish(messages))
    except BrokerUnavailableError:
        return False
