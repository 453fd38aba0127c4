"""Steps that many tests of the suites take, each in a unit of work of its own."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from cqrs_ddd_core.cqrs.mediator import Mediator
from cqrs_ddd_core.cqrs.message import Command, Query
from cqrs_ddd_core.cqrs.registry import HandlerRegistry
from cqrs_ddd_core.testing.conformance.samples import Order, UowFactory


async def store(uow_factory: UowFactory, *orders: Order) -> None:
    """Add new orders."""
    async with uow_factory() as uow:
        for order in orders:
            await uow.orders.add(order)


async def change(uow_factory: UowFactory, order_id: str, **values: Any) -> None:
    """Load an order, set attributes, commit."""
    async with uow_factory() as uow:
        order = await uow.orders.require(order_id)
        for name, value in values.items():
            setattr(order, name, value)


async def version_of(uow_factory: UowFactory, order_id: str) -> int | None:
    """Return the stored version; None where the order is not stored."""
    async with uow_factory() as uow:
        order = await uow.orders.get(order_id)
        return None if order is None else order.version


async def customer_of(uow_factory: UowFactory, order_id: str) -> str:
    """Return the stored customer of an order that must be there."""
    async with uow_factory() as uow:
        return (await uow.orders.require(order_id)).customer


class _Fail(Command[None]):
    """Is undone."""


class _Failed(Exception):  # noqa: N818
    """What undoes a command."""


async def fail_after(
    uow_factory: UowFactory, *works: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Run each of ``works`` in a task that the handler of a command waits for; undo the command."""

    async def start_and_fail(_: _Fail) -> None:
        await asyncio.gather(*(work() for work in works))
        raise _Failed

    registry = HandlerRegistry()
    registry.register_command_handler(_Fail, start_and_fail)
    factory: Any = uow_factory
    with suppress(_Failed):
        await Mediator(registry, factory).send(_Fail())


class _Ask(Query[Any]):
    """Opens a read-only unit of work."""


async def ask(uow_factory: UowFactory, answer: Any) -> Any:
    """Run ``answer(query, uow)`` in a read-only unit of work and return what it returned."""
    registry = HandlerRegistry()
    registry.register_query_handler(_Ask, answer)
    factory: Any = uow_factory
    return (await Mediator(registry, factory).query(_Ask())).result
