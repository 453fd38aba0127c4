"""The process of the race test: a relay to RabbitMQ, and nothing else."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from cqrs_ddd_core import BrokerUnavailableError, OutboxMessage
from cqrs_ddd_core.cqrs.outbox import BufferedOutbox
from cqrs_ddd_messaging.rabbitmq import RabbitMQPublisher
from cqrs_ddd_persistence_sqlalchemy import create_engine, create_session_factory
from tests.delivery.child import Places
from tests.killing import tell
from tests.relay.child import Storage
from tests.relay.shop import SETTINGS

RELAYING = replace(SETTINGS, longest_outage_pause=0.2)


class Publisher(RabbitMQPublisher):
    """Reports that the broker is away, and that it is back."""

    is_away = False

    async def publish(self, messages: Sequence[OutboxMessage]) -> Sequence[Exception | None]:
        try:
            outcomes = await super().publish(messages)
        except BrokerUnavailableError:
            if not self.is_away:
                self.is_away = True
                tell("away")
            raise
        if self.is_away:
            self.is_away = False
            tell("back")
        return outcomes


async def _relay(places: Places) -> None:
    storage = Storage(create_session_factory(create_engine(places.database)))
    publisher = Publisher(places.amqp, places.rabbitmq_queue().exchange)
    await BufferedOutbox(storage=storage, broker=publisher, settings=RELAYING).run(asyncio.Event())


def relay(places: Places) -> None:
    """Relay until it is killed."""
    asyncio.run(_relay(places))
