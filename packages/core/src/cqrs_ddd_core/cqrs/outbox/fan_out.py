"""Hands each message to several publishers: handlers here and a broker, say."""

from collections import OrderedDict
from collections.abc import Sequence

from cqrs_ddd_core.ports.message_publisher import IMessagePublisher
from cqrs_ddd_core.ports.outbox_storage import OutboxMessage

_REMEMBERED = 10_000


class FanOutPublisher:
    """Publishes to several publishers, one after another; a message counts when all have it.

    When one of them fails, a later try leaves out those that have the message already, as long as
    this process lives; after that they may get it a second time, as after any crash.

    Args:
        *publishers: the one least likely to fail for long comes first.
    """

    def __init__(self, *publishers: IMessagePublisher) -> None:
        self._publishers = publishers
        self._confirmed: list[OrderedDict[str, None]] = [OrderedDict() for _ in publishers]

    async def publish(self, messages: Sequence[OutboxMessage]) -> Sequence[Exception | None]:
        """Publish ``messages`` to all publishers (see the port).

        Raises:
            Exception: one of them is away; those before it have the messages.
        """
        outcomes: list[Exception | None] = [None] * len(messages)
        for publisher, confirmed in zip(self._publishers, self._confirmed, strict=True):
            places = [
                place
                for place, message in enumerate(messages)
                if outcomes[place] is None and message.message_id not in confirmed
            ]
            if not places:
                continue
            found = await publisher.publish([messages[place] for place in places])
            for place, outcome in zip(places, found, strict=True):
                outcomes[place] = outcome
                if outcome is None:
                    confirmed[messages[place].message_id] = None
        self._forget([m for m, outcome in zip(messages, outcomes, strict=True) if outcome is None])
        return outcomes

    def _forget(self, delivered: Sequence[OutboxMessage]) -> None:
        """Remember only what has been delivered to some and not to all."""
        for confirmed in self._confirmed:
            for message in delivered:
                confirmed.pop(message.message_id, None)
            while len(confirmed) > _REMEMBERED:
                confirmed.popitem(last=False)
