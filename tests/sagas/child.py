"""The process that the kill tests kill: it creates orders and delivers until all sagas are over."""

import asyncio
from collections.abc import Sequence
from enum import Enum
from typing import Any

from cqrs_ddd_advanced_core.sagas import (
    JournalEntry,
    SagaAction,
    SagaDefinition,
    SagaInstance,
    SagaOutcome,
    SagaRecoveryWorker,
    SagaStatus,
)
from cqrs_ddd_core import IUnitOfWork, RelayLease, RetryPolicy
from cqrs_ddd_core.cqrs.outbox import BufferedOutbox, RelaySettings
from cqrs_ddd_core.cqrs.scope import get_current_uow
from cqrs_ddd_core.testing import until
from cqrs_ddd_persistence_sqlalchemy import SQLAlchemyOutboxStorage, SQLAlchemySagaRepository
from tests.killing import LONG, Trap, tell
from tests.sagas.orders import Failures, fulfilment
from tests.sagas.stores import sql_store
from tests.sagas.world import World, open_world

KINDS = ("forward", "back", "slow")
"""Orders that end well, that are undone, and whose payment is charged at the second attempt."""
SETTINGS = RelaySettings(
    batch_size=20,
    max_held=100,
    lease=2.0,
    poll_interval=0.05,
    retries=RetryPolicy(max_attempts=50, base_delay=0.01, max_delay=0.05),
)


class KillPoint(Enum):
    """Where the process ends itself."""

    EVENT_NOT_COMMITTED = "an event has been handled, and nothing is committed"
    EVENT_COMMITTED = "saga and commands are committed, and no relay has seen them"
    EFFECT_NOT_COMMITTED = "a command had its effect, and nothing is committed"
    EFFECT_COMMITTED = "the effect is committed, and the relay does not know"
    FAILURE_COMMITTED = "an attempt has failed, and the next one is due"
    TURNING_BACK = "the saga is to go back, and that is not committed"
    TURNED_BACK = "the saga goes back, and no compensation has run"
    UNDOING = "a compensation had its effect, and nothing is committed"
    UNDONE = "a compensation is committed, and the relay does not know"


trap = Trap()


def patient_saga() -> SagaDefinition:
    """Return a saga whose attempts outlast the processes: one fails in each."""
    return fulfilment(max_retries=100).build()


class Sagas(SQLAlchemySagaRepository):
    """Passes the points as they come: before a save is committed, and after."""

    async def add(
        self,
        saga: SagaInstance,
        journal: Sequence[JournalEntry] = (),
        uow: IUnitOfWork | None = None,
        *,
        lease: float | None = None,
    ) -> SagaInstance:
        added = await super().add(saga, journal, uow, lease=lease)
        self._passed(saga, journal)
        return added

    async def save(
        self,
        saga: SagaInstance,
        journal: Sequence[JournalEntry] = (),
        uow: IUnitOfWork | None = None,
        *,
        release: bool = False,
    ) -> SagaInstance:
        saved = await super().save(saga, journal, uow, release=release)
        self._passed(saga, journal)
        return saved

    def _passed(self, saga: SagaInstance, journal: Sequence[JournalEntry]) -> None:
        came = {(entry.action, entry.outcome) for entry in journal}
        before, after = _points(saga, came)

        async def committed() -> None:
            if after is not None:
                trap.passed(after)

        if before is not None:
            trap.passed(before)
        get_current_uow().on_commit(committed)


def _points(
    saga: SagaInstance, came: set[tuple[SagaAction, SagaOutcome]]
) -> tuple[KillPoint | None, KillPoint | None]:
    """Return the points before and after the commit of what came to a saga."""
    if (SagaAction.EVENT, SagaOutcome.COMPLETED) in came:
        return KillPoint.EVENT_NOT_COMMITTED, KillPoint.EVENT_COMMITTED
    if (SagaAction.COMPENSATE, SagaOutcome.COMPLETED) in came:
        return KillPoint.UNDOING, KillPoint.UNDONE
    if (SagaAction.ACT, SagaOutcome.COMPLETED) in came:
        return KillPoint.EFFECT_NOT_COMMITTED, KillPoint.EFFECT_COMMITTED
    if (SagaAction.ACT, SagaOutcome.FAILED) in came:
        if saga.status is SagaStatus.COMPENSATING:
            return KillPoint.TURNING_BACK, KillPoint.TURNED_BACK
        return None, KillPoint.FAILURE_COMMITTED
    return None, None


class Outbox(SQLAlchemyOutboxStorage):
    async def renew(self, relay_id: int | None, name: str, ttl: float) -> RelayLease:
        lease = await super().renew(relay_id, name, ttl)
        if lease.relay_id != relay_id:
            tell(f"relay {lease.relay_id}")
        return lease


def orders_up_to(rounds: int) -> list[str]:
    return [f"{kind}-{number}" for number in range(rounds) for kind in KINDS]


def failures_of(orders: Sequence[str]) -> Failures:
    """Return what goes wrong with these orders, the same in each process."""
    failures = Failures()
    failures.refused = {("ConfirmOrder", each) for each in orders if each.startswith("back")}
    failures.once = {("ChargePayment", each) for each in orders if each.startswith("slow")}
    return failures


async def run(url: str, rounds: int) -> None:
    orders = orders_up_to(rounds)
    async with sql_store(url, Outbox, Sagas) as store:
        world = await open_world(store, patient_saga(), failures=failures_of(orders))
        worker = SagaRecoveryWorker(store.sagas, [world.manager], lease=2.0)
        async with BufferedOutbox(store.outbox, world.publisher, settings=SETTINGS):
            for order_id in orders:
                if not await world.done(order_id):
                    await world.create(order_id)

            async def is_over() -> bool:
                await worker.run_once()
                return await all_over(world, len(orders))

            await until(is_over, timeout=LONG)


async def all_over(world: World, sagas: int) -> bool:
    if await world.store.outbox.get_pending(1):
        return False
    found = await world.manager.search(limit=sagas + 1)
    return len(found) == sagas and all(saga.status.is_final for saga in found)


def work(url: str, rounds: int, point: str = "", passes: Any = 0) -> None:
    """Run in a process of its own, up to a point if there is one."""
    trap.point, trap.passes = point, passes
    asyncio.run(run(url, rounds))
