"""The process that the kill tests kill: it runs sagas, and goes on with those of others."""

import asyncio
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from cqrs_ddd_advanced_core.orchestration import OrchestrationRunner, StepCall
from cqrs_ddd_advanced_core.sagas import (
    JournalEntry,
    SagaAction,
    SagaFilter,
    SagaInstance,
    SagaOutcome,
    SagaRecoveryWorker,
    SagaStatus,
)
from cqrs_ddd_core import IUnitOfWork
from cqrs_ddd_persistence_sqlalchemy import SQLAlchemySagaRepository
from tests.killing import Trap, tell
from tests.orchestration.shop import Order, Shop

LEASE = 60.0
UNFINISHED = SagaFilter(statuses=[SagaStatus.RUNNING, SagaStatus.COMPENSATING])


class KillPoint(Enum):
    """Where the process ends itself."""

    ADDED = "a saga is there, and nothing has begun"
    BEGUN = "a step is written down as begun"
    ACTED = "a step has had its effect, which is not written down"
    DONE = "a step is written down as done"
    HALF_OF_TWO = "one of two steps side by side is done"
    DECIDED = "the pivot is done"
    TURNED_BACK = "a saga turns back, and nothing is undone yet"
    UNDOING = "a compensation is written down as begun"
    UNDONE = "a compensation has had its effect, which is not written down"
    WRITTEN_BACK = "a compensation is written down as done"
    COMPENSATED = "a saga is undone"
    RESERVED = "a reservation is there"
    CONFIRMING = "it is decided that reservations become firm, and nobody knows"
    CONFIRMED = "a reservation is firm"
    CANCELLING = "a cancellation is written down as begun"
    CANCELLED = "a reservation is cancelled"


trap = Trap()

_BY_ENTRY = {
    (SagaAction.ACT, SagaOutcome.STARTED): KillPoint.BEGUN,
    (SagaAction.ACT, SagaOutcome.COMPLETED): KillPoint.DONE,
    (SagaAction.COMPENSATE, SagaOutcome.STARTED): KillPoint.UNDOING,
    (SagaAction.COMPENSATE, SagaOutcome.COMPLETED): KillPoint.WRITTEN_BACK,
    (SagaAction.TRY, SagaOutcome.COMPLETED): KillPoint.RESERVED,
    (SagaAction.CONFIRM, SagaOutcome.STARTED): KillPoint.CONFIRMING,
    (SagaAction.CONFIRM, SagaOutcome.COMPLETED): KillPoint.CONFIRMED,
    (SagaAction.CANCEL, SagaOutcome.STARTED): KillPoint.CANCELLING,
    (SagaAction.CANCEL, SagaOutcome.COMPLETED): KillPoint.CANCELLED,
}


class Sagas(SQLAlchemySagaRepository):
    async def add(self, saga: SagaInstance, *arguments: Any, **options: Any) -> SagaInstance:
        added = await super().add(saga, *arguments, **options)
        tell(f"added {saga.saga_id}")
        trap.passed(KillPoint.ADDED)
        return added

    async def save(
        self,
        saga: SagaInstance,
        journal: Sequence[JournalEntry] = (),
        uow: IUnitOfWork | None = None,
        *,
        release: bool = False,
    ) -> SagaInstance:
        async def committed() -> None:
            for entry in journal:
                self._pass(saga, entry)
            if saga.status is SagaStatus.COMPENSATED:
                trap.passed(KillPoint.COMPENSATED)

        saved = await super().save(saga, journal, uow, release=release)
        if uow is None:
            await committed()
        else:
            uow.on_commit(committed)
        return saved

    def _pass(self, saga: SagaInstance, entry: JournalEntry) -> None:
        point = _BY_ENTRY.get((entry.action, entry.outcome))
        if point is not None:
            trap.passed(point)
        if entry.outcome is SagaOutcome.FAILED and saga.status is SagaStatus.COMPENSATING:
            trap.passed(KillPoint.TURNED_BACK)
        if point is KillPoint.DONE and entry.step in {"label", "book"}:
            trap.passed(KillPoint.HALF_OF_TWO)
        if point is KillPoint.DONE and entry.step == "charge":
            trap.passed(KillPoint.DECIDED)


class TrappedShop(Shop):
    async def count(self, call: StepCall) -> None:
        await super().count(call)
        is_back = call.action in {SagaAction.COMPENSATE, SagaAction.CANCEL}
        trap.passed(KillPoint.UNDONE if is_back else KillPoint.ACTED)


async def run(url: str, calls: Path, number: int) -> None:
    shop = TrappedShop(url, calls, Sagas)
    await shop.create_schema()
    runners = [
        OrchestrationRunner(shop.sagas, [shop.ship_order, shop.book_trip], lease=LEASE)
        for _ in range(2)
    ]
    async with asyncio.TaskGroup() as group:
        for definition in (shop.ship_order, shop.book_trip):
            for paid in (True, False):
                for each in range(number):
                    saga_id = f"{definition.name}-{'paid' if paid else 'unpaid'}-{each}"
                    if await shop.sagas.find(saga_id) is None:
                        group.create_task(
                            runners[0].run(definition, Order(paid=paid), saga_id=saga_id)
                        )
    workers = [
        SagaRecoveryWorker(shop.sagas, [runner], name=f"w{place}", lease=LEASE)
        for place, runner in enumerate(runners)
    ]
    while await shop.sagas.search(UNFINISHED, limit=1):
        await asyncio.gather(*(worker.run_once() for worker in workers))
        await asyncio.sleep(0.02)
    await shop.engine.dispose()


def work(url: str, calls: Path, number: int, point: str = "", passes: int = 0) -> None:
    """Run in a process of its own, up to a point if there is one."""
    trap.point, trap.passes = point, passes
    asyncio.run(run(url, calls, number))
