"""Orders that are fulfilled by sagas of each kind, with steps whose every effect is counted."""

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from cqrs_ddd_advanced_core.orchestration import (
    Orchestration,
    ParallelSteps,
    PivotStep,
    RetriableStep,
    Step,
    StepCall,
    StepFunctions,
)
from cqrs_ddd_advanced_core.sagas import SagaAction, SagaOutcome
from cqrs_ddd_advanced_core.tcc import TCC, TCCStep
from cqrs_ddd_core import AggregateRoot, RetryPolicy, repository
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemySagaRepository,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
)

SOON = RetryPolicy(max_attempts=3, base_delay=0.01, max_delay=0.02)


class Effect(AggregateRoot[str]):
    """What has been done under one idempotency key, by a receiver that counts its calls."""

    what: str
    times: int = 0
    late: list[str] = Field(default_factory=list[str])
    """Calls that came although the journal had the action as completed."""


class ShopUnitOfWork(SQLAlchemyUnitOfWork):
    effects = repository(Effect, table="effects")


@dataclass
class Order:
    """What the steps of an order's saga share."""

    paid: bool = True
    parcel: str | None = None
    label: str | None = None
    courier: str | None = None


class Declined(Exception):  # noqa: N818 - the business says so
    """The card is declined."""


class CallFile:
    """Calls in the order in which they had their effect; other processes see it at once."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def append(self, call: StepCall) -> None:
        os.write(self._file, f"{call.saga_id} {call.action} {call.step}\n".encode())


def calls_in(path: Path) -> dict[str, list[str]]:
    """Return the calls of each saga, in order."""
    calls: dict[str, list[str]] = defaultdict(list)
    for line in path.read_text().splitlines():
        saga_id, action, step = line.split(" ", 2)
        calls[saga_id].append(f"{action} {step}")
    return calls


class Shop:
    """The steps, their effects in the database, and the sagas they make up."""

    def __init__(self, url: str, path: Path, repository_class: Any) -> None:
        self.engine = create_engine(url)
        self._session_factory = create_session_factory(self.engine)
        self.sagas: SQLAlchemySagaRepository = repository_class(self._session_factory)
        self._calls = CallFile(path)
        steps = {name: StepFunctions(self.act, self.undo) for name in ("reserve", "label", "book")}
        self.ship_order = Orchestration(
            "ship-order",
            Order,
            [
                Step("reserve", StepFunctions(self.reserve, self.release)),
                ParallelSteps(Step("label", steps["label"]), Step("book", steps["book"])),
                PivotStep("charge", StepFunctions(self.charge), give_up_on=(Declined,)),
                RetriableStep("send", StepFunctions(self.act)),
            ],
            retry=SOON,
            compensation_retry=SOON,
        )
        self.book_trip = TCC(
            "book-trip",
            Order,
            [
                TCCStep("flight", try_=self.act, confirm=self.act, cancel=self.undo),
                TCCStep(
                    "hotel",
                    try_=self.charge,
                    confirm=self.act,
                    cancel=self.undo,
                    give_up_on=(Declined,),
                ),
            ],
            settlement_retry=SOON,
        )

    async def create_schema(self) -> None:
        await create_schema(self.engine, ShopUnitOfWork, self.sagas)

    def uow(self) -> ShopUnitOfWork:
        return ShopUnitOfWork(self._session_factory)

    async def count(self, call: StepCall) -> None:
        """Have the effect, or find that it is there, in the current unit of work."""
        journal = await self.sagas.history(call.saga_id)
        is_late = any(
            (entry.action, entry.step, entry.outcome)
            == (call.action, call.step, SagaOutcome.COMPLETED)
            for entry in journal
        )
        async with self.uow() as uow:
            await self._count(uow, call, is_late=is_late)
        self._calls.append(call)

    async def _count(self, uow: ShopUnitOfWork, call: StepCall, *, is_late: bool) -> None:
        effect = await uow.effects.get(call.idempotency_key)
        if effect is None:
            what = f"{call.saga_id} {call.action} {call.step}"
            effect = Effect(id=call.idempotency_key, what=what)
            await uow.effects.add(effect)
        effect.times += 1
        if is_late:
            effect.late = [*effect.late, f"attempt {call.attempt}"]

    async def act(self, order: Order, call: StepCall) -> None:
        await self.count(call)
        if call.action is SagaAction.ACT and call.step == "label":
            order.label = call.idempotency_key
        if call.action is SagaAction.ACT and call.step == "book":
            order.courier = call.idempotency_key

    async def undo(self, order: Order, call: StepCall) -> None:
        await self.count(call)

    async def reserve(self, order: Order, call: StepCall) -> None:
        """Have an effect that commits together with the end of the step."""
        order.parcel = call.idempotency_key
        async with self.uow() as uow:
            await self._count(uow, call, is_late=False)
            await call.complete(order)
        self._calls.append(call)

    async def release(self, order: Order, call: StepCall) -> None:
        async with self.uow() as uow:
            await self._count(uow, call, is_late=False)
            await call.complete(order)
        self._calls.append(call)

    async def charge(self, order: Order, call: StepCall) -> None:
        if not order.paid:
            raise Declined
        await self.act(order, call)

    async def effects(self) -> dict[str, list[int]]:
        """Return how often each effect was asked for, by what it is, for each of its keys."""
        times: dict[str, list[int]] = defaultdict(list)
        async with self.uow() as uow:
            for effect in await uow.effects.list_all():
                assert effect.late == [], effect
                times[effect.what].append(effect.times)
        return times
