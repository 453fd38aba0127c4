"""The process that the kill tests kill: it counts, relays and redrives until all has arrived."""

import asyncio
import random
from collections.abc import Collection, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from cqrs_ddd_core import (
    DueKeys,
    IUnitOfWork,
    OutboxMessage,
    RelayLease,
    Settlement,
    WaitingBatch,
)
from cqrs_ddd_persistence_sqlalchemy import SQLAlchemyInboxStorage, SQLAlchemyOutboxStorage
from tests.killing import Trap, tell
from tests.relay.shop import Count, FileBroker, Shop, open_shop

KEYS = ("a", "b", "c", "d")


class KillPoint(Enum):
    """Where the process ends itself."""

    AFTER_COMMIT = "after a command's commit"
    AFTER_CLAIM = "after messages were read"
    AFTER_EFFECT = "between the effect of a handler and its acknowledgement"
    WHILE_PUBLISHING = "between two messages of a batch"
    BEFORE_SETTLE = "after publishing, before the settle"
    AFTER_SETTLE = "after the settle"
    DURING_REDRIVE = "when a redriven message is under way"

    def passes(self, chance: random.Random) -> int:
        """Return how often a process passes it before it is killed, as often as it surely does."""
        return 1 if self is KillPoint.DURING_REDRIVE else 1 + chance.randrange(2)


trap = Trap()


class Storage(SQLAlchemyOutboxStorage):
    async def renew(self, relay_id: int | None, name: str, ttl: float) -> RelayLease:
        lease = await super().renew(relay_id, name, ttl)
        if lease.relay_id != relay_id:
            tell(f"relay {lease.relay_id}")
        return lease

    async def read(self, *arguments: Any, **options: Any) -> WaitingBatch:
        batch = await super().read(*arguments, **options)
        if batch.messages:
            trap.passed(KillPoint.AFTER_CLAIM)
        return batch

    async def due(self, slots: Collection[int], limit: int) -> DueKeys:
        due = await super().due(slots, limit)
        if any(key.blocked.attempts == 0 for key in due.keys):
            trap.passed(KillPoint.DURING_REDRIVE)
        return due

    async def settle(self, relay_id: int, settlement: Settlement) -> None:
        if settlement.delivered:
            trap.passed(KillPoint.BEFORE_SETTLE)
        await super().settle(relay_id, settlement)
        if settlement.delivered:
            trap.passed(KillPoint.AFTER_SETTLE)


class Inbox(SQLAlchemyInboxStorage):
    async def record(
        self, consumer: str, message_ids: Sequence[str], uow: IUnitOfWork | None = None
    ) -> None:
        async def committed() -> None:
            trap.passed(KillPoint.AFTER_EFFECT)

        await super().record(consumer, message_ids, uow)
        assert uow is not None
        uow.on_commit(committed)


class Broker(FileBroker):
    async def publish(self, messages: Sequence[OutboxMessage]) -> list[Exception | None]:
        for message in messages:
            self.append(message)
            trap.passed(KillPoint.WHILE_PUBLISHING)
        return [None] * len(messages)


async def count_all(shop: Shop, key: str, numbers: int) -> None:
    """Count so far, from where the database says it is."""
    async with shop.uow() as uow:
        counter = await uow.counters.get(key)
    for _ in range(counter.count if counter is not None else 0, numbers):
        number = (await shop.mediator.send(Count(key=key))).result
        tell(f"counted {key} {number}")
        trap.passed(KillPoint.AFTER_COMMIT)


async def run(url: str, broker: Path, numbers: int, *, ends: bool) -> None:
    shop = await open_shop(url, Broker(broker), Storage, Inbox)
    async with shop.outbox:
        async with asyncio.TaskGroup() as group:
            for key in KEYS:
                group.create_task(count_all(shop, key, numbers))
        while await shop.storage.get_pending(1):
            await shop.storage.redrive()
            await asyncio.sleep(0.02)
        if not ends:
            tell("idle")
            await asyncio.Event().wait()


def work(url: str, broker: Path, numbers: int, point: str, passes: int, *, ends: bool) -> None:
    """Run in a process of its own, up to a point if there is one, or for ever."""
    trap.point, trap.passes = point, passes
    asyncio.run(run(url, broker, numbers, ends=ends))
