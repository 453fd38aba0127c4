"""A shop that cancels unpaid orders, on any store."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from cqrs_ddd_advanced_core.background_jobs import (
    IBackgroundJobRepository,
    InMemoryBackgroundJobRepository,
)
from cqrs_ddd_advanced_core.scheduling import CommandScheduler, CommandSchedulerService
from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryUnitOfWork,
    Mediator,
    get_current_uow,
    repository,
)
from cqrs_ddd_core.primitives.message_context import current_context

UNPAID = timedelta(days=3)
T = TypeVar("T")


async def elsewhere(work: Coroutine[Any, Any, T]) -> T:
    """Do something as another process would: outside of the unit of work that is open here."""
    context = copy_context()
    context.run(current_context.set, None)
    return await asyncio.create_task(work, context=context)


class Order(AggregateRoot[str]):
    status: str = "placed"


class Place(Command[str]):
    order_id: str


class Pay(Command[bool]):
    order_id: str


class CancelUnpaid(Command[None]):
    order_id: str


class Report(Command[None]):
    name: str


class Tick(Command[None]):
    """Schedules itself anew."""

    left: int


class ShopUnitOfWork(InMemoryUnitOfWork):
    orders = repository(Order)


@dataclass
class Shop:
    """The shop's wiring, and what its handlers did."""

    repository: IBackgroundJobRepository = field(default_factory=InMemoryBackgroundJobRepository)
    uow_factory: Callable[[], Any] | None = None
    reports: list[Report] = field(default_factory=list[Report])
    fail: list[Exception] = field(default_factory=list[Exception])

    def __post_init__(self) -> None:
        database = InMemoryDatabase()
        registry = HandlerRegistry()
        registry.register_command_handler(Place, self.place)
        registry.register_command_handler(Pay, self.pay)
        registry.register_command_handler(CancelUnpaid, self.cancel_unpaid)
        registry.register_command_handler(Report, self.report)
        registry.register_command_handler(Tick, self.tick)
        uow_factory = self.uow_factory or (lambda: ShopUnitOfWork(database))
        self.mediator = Mediator(registry, uow_factory)
        self.scheduler = CommandScheduler(self.repository)
        self.service = CommandSchedulerService(self.scheduler, self.mediator)

    async def place(self, command: Place) -> str:
        await get_current_uow().orders.add(Order(id=command.order_id))
        await self.scheduler.schedule(
            CancelUnpaid(order_id=command.order_id), after=UNPAID, key=f"unpaid/{command.order_id}"
        )
        if self.fail:
            raise self.fail.pop()
        return command.order_id

    async def pay(self, command: Pay) -> bool:
        order = await get_current_uow().orders.require(command.order_id)
        order.status = "paid"
        return await self.scheduler.cancel(f"unpaid/{command.order_id}")

    async def cancel_unpaid(self, command: CancelUnpaid) -> None:
        order = await get_current_uow().orders.require(command.order_id)
        order.status = "cancelled"
        if self.fail:
            raise self.fail.pop()

    async def report(self, command: Report) -> None:
        self.reports.append(command)
        if self.fail:
            raise self.fail.pop()

    async def tick(self, command: Tick) -> None:
        if command.left:
            await self.scheduler.schedule(
                Tick(left=command.left - 1), after=timedelta(seconds=1), key="tick"
            )

    async def status(self, order_id: str) -> str | None:
        uow_factory: Any = self.mediator._uow_factory  # pyright: ignore[reportPrivateUsage]
        async with uow_factory() as uow:
            order = await uow.orders.get(order_id)
            return None if order is None else order.status
