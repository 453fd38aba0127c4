"""A publisher and messages that the tests of relays share."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from cqrs_ddd_core import InMemoryOutboxStorage, OutboxMessage, RetryPolicy, utc_now
from cqrs_ddd_core.cqrs.outbox import RelaySettings

FAST = RelaySettings(
    poll_interval=0.01,
    shortest_poll=0.001,
    redrive_poll=0.005,
    longest_outage_pause=0.01,
    retries=RetryPolicy(max_attempts=3, base_delay=0.001, max_delay=0.002),
)


class BrokerAwayError(Exception):
    pass


class Broker:
    """Takes messages; can be away, slow for a key, or refuse messages."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.calls: list[list[str]] = []
        self.is_away = False
        self.refused: set[str] = set()
        self.fatal: set[str] = set()
        self.gates: dict[str, asyncio.Event] = {}
        self.before: Callable[[], Any] | None = None

    async def publish(self, messages: Sequence[OutboxMessage]) -> list[Exception | None]:
        self.calls.append([message.message_id for message in messages])
        if self.before is not None:
            await self.before()
        if self.is_away or self.fatal & set(self.calls[-1]):
            raise BrokerAwayError
        outcomes: list[Exception | None] = []
        failed: set[str] = set()
        for message in messages:
            key = message.partition_key or message.message_id
            if key in self.gates:
                await self.gates[key].wait()
            if message.message_id in self.refused or key in failed:
                failed.add(key)
                outcomes.append(ValueError(f"no {message.message_id}"))
            else:
                self.taken.append(message.message_id)
                outcomes.append(None)
        return outcomes

    def of(self, prefix: str) -> list[str]:
        return [message_id for message_id in self.taken if message_id.startswith(prefix)]


def message(message_id: str, key: str | None = None) -> OutboxMessage:
    """Return a message; ``a-1`` belongs to the key ``a``."""
    return OutboxMessage(
        message_id=message_id,
        event_type="Noted",
        payload=b"{}",
        occurred_at=utc_now(),
        partition_key=message_id.split("-", maxsplit=1)[0] if key is None else key,
    )


async def save(storage: InMemoryOutboxStorage, *message_ids: str) -> None:
    await storage.save_messages([message(message_id) for message_id in message_ids])
