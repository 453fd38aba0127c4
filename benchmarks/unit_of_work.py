"""One aggregate and one outbox row in a PostgreSQL transaction, beside asyncpg by hand."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from itertools import count
from typing import Any
from uuid import uuid4

from pydantic_core import to_json

from benchmarks.harness import Pair, case
from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    DomainEvent,
    HandlerRegistry,
    Mediator,
    MiddlewareRegistry,
    OutboxMiddleware,
    repository,
    slot_of,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyOutboxStorage,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
    drop_schema,
)

asyncpg: Any = import_module("asyncpg")  # it brings no types
_COMMANDS = 400
_URL = os.environ.get("CQRS_TEST_POSTGRES_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/test")


class BenchOrder(AggregateRoot[str]):
    """An order."""

    customer_id: str
    total: Decimal
    placed_at: datetime


class OrderPlaced(DomainEvent):
    """It was placed."""

    total: Decimal


class BenchUnitOfWork(SQLAlchemyUnitOfWork):
    """Its unit of work."""

    orders = repository(BenchOrder, table="bench_orders")


class PlaceOrder(Command[str]):
    """Place one."""

    order_id: str


class Rename(Command[None]):
    """Change one."""

    order_id: str
    customer_id: str


async def place_order(command: PlaceOrder, uow: BenchUnitOfWork) -> str:
    """Add an order with its event."""
    order = BenchOrder(
        id=command.order_id, customer_id="c-1", total=Decimal("9.99"), placed_at=datetime.now(UTC)
    )
    order.add_event(OrderPlaced(total=order.total))
    return await uow.orders.add(order)


async def rename(command: Rename, uow: BenchUnitOfWork) -> None:
    """Load an order, change it, raise an event."""
    order = await uow.orders.require(command.order_id)
    order.customer_id = command.customer_id
    order.add_event(OrderPlaced(total=order.total))


_ORDER = (
    "INSERT INTO bench_orders (id, customer_id, total, placed_at, version) "
    "VALUES ($1, $2, $3, $4, 1)"
)
_OUTBOX = (
    "INSERT INTO bench_outbox (message_id, event_type, schema_version, payload, content_type, "
    "partition_key, aggregate_type, occurred_at, recorded_at, correlation_id, causation_id, "
    "slot, headers) VALUES ($1, $2, 1, $3, 'application/json', $4, $5, $6, $6, $7, $8, $9, '{}')"
)
_SELECT = "SELECT id, customer_id, total, placed_at, version FROM bench_orders WHERE id = $1"
_UPDATE = (
    "UPDATE bench_orders SET customer_id = $2, total = $3, placed_at = $4, version = version + 1 "
    "WHERE id = $1 AND version = $5"
)


async def _save_event(connection: Any, event: OrderPlaced, cause: str) -> None:
    await connection.execute(
        _OUTBOX,
        event.event_id,
        event.event_type,
        to_json(event),
        f"BenchOrder/{event.aggregate_id}",
        "BenchOrder",
        event.occurred_at,
        cause,
        cause,
        slot_of(f"BenchOrder/{event.aggregate_id}"),
    )


async def _place_by_hand(pool: Any, order_id: str) -> None:
    command = PlaceOrder(order_id=order_id)
    order = BenchOrder(
        id=command.order_id, customer_id="c-1", total=Decimal("9.99"), placed_at=datetime.now(UTC)
    )
    event = OrderPlaced(aggregate_id=order.id, aggregate_type="BenchOrder", total=order.total)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_ORDER, order.id, order.customer_id, order.total, order.placed_at)
        await _save_event(connection, event, command.command_id)


async def _rename_by_hand(pool: Any, order_id: str) -> None:
    command = Rename(order_id=order_id, customer_id=uuid4().hex)
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(_SELECT, command.order_id)
        assert row is not None
        values = dict(row)
        order = BenchOrder(_version=values.pop("version"), **values)
        order.customer_id = command.customer_id
        event = OrderPlaced(aggregate_id=order.id, aggregate_type="BenchOrder", total=order.total)
        status = await connection.execute(
            _UPDATE, order.id, order.customer_id, order.total, order.placed_at, order.version
        )
        assert status == "UPDATE 1"
        await _save_event(connection, event, command.command_id)


async def _world(concurrency: int) -> AsyncGenerator[tuple[Mediator, Any]]:
    engine = create_engine(_URL, pool_size=concurrency, max_overflow=0)
    session_factory = create_session_factory(engine)
    outbox = SQLAlchemyOutboxStorage(session_factory, table="bench_outbox")
    await drop_schema(engine, BenchUnitOfWork, outbox)
    await create_schema(engine, BenchUnitOfWork, outbox)
    registry = HandlerRegistry()
    registry.register_command_handler(PlaceOrder, place_order)
    registry.register_command_handler(Rename, rename)
    mediator = Mediator(
        registry,
        lambda: BenchUnitOfWork(session_factory),
        middleware_registry=MiddlewareRegistry([OutboxMiddleware(outbox)]),
    )
    url = _URL.replace("+asyncpg", "")
    async with asyncpg.create_pool(url, min_size=concurrency, max_size=concurrency) as pool:
        yield mediator, pool
    await drop_schema(engine, BenchUnitOfWork, outbox)
    await engine.dispose()


async def _spread(concurrency: int, one: Callable[[str], Awaitable[Any]], ids: list[str]) -> int:
    """Run ``one`` for each id, ``concurrency`` at a time."""
    waiting = iter(ids)

    async def work() -> None:
        for order_id in waiting:
            await one(order_id)

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return len(ids)


async def _place(concurrency: int) -> AsyncGenerator[Pair]:
    numbers = count()

    def ids() -> list[str]:
        return [f"o-{next(numbers)}" for _ in range(_COMMANDS)]

    async for mediator, pool in _world(concurrency):
        yield Pair(
            ours=lambda: _spread(
                concurrency, lambda i: mediator.send(PlaceOrder(order_id=i)), ids()
            ),
            twin=lambda: _spread(concurrency, lambda i: _place_by_hand(pool, i), ids()),
        )


async def _change(concurrency: int) -> AsyncGenerator[Pair]:
    ids = [f"o-{number}" for number in range(_COMMANDS)]
    async for mediator, pool in _world(concurrency):
        await _spread(concurrency, lambda i: mediator.send(PlaceOrder(order_id=i)), ids)
        yield Pair(
            ours=lambda: _spread(
                concurrency,
                lambda i: mediator.send(Rename(order_id=i, customer_id=uuid4().hex)),
                ids,
            ),
            twin=lambda: _spread(concurrency, lambda i: _rename_by_hand(pool, i), ids),
        )


@case("unit_of_work", "uow.add_and_outbox.1_concurrent", unit="commands/s", better="higher")
async def place_one() -> AsyncGenerator[Pair, Any]:
    """A command that inserts an aggregate and an outbox row."""
    async for pair in _place(1):
        yield pair


@case("unit_of_work", "uow.add_and_outbox.16_concurrent", unit="commands/s", better="higher")
async def place_sixteen() -> AsyncGenerator[Pair, Any]:
    """The same, sixteen at a time."""
    async for pair in _place(16):
        yield pair


@case("unit_of_work", "uow.change_and_outbox.1_concurrent", unit="commands/s", better="higher")
async def change_one() -> AsyncGenerator[Pair, Any]:
    """A command that loads an aggregate, changes it and writes an outbox row."""
    async for pair in _change(1):
        yield pair


@case("unit_of_work", "uow.change_and_outbox.16_concurrent", unit="commands/s", better="higher")
async def change_sixteen() -> AsyncGenerator[Pair, Any]:
    """The same, sixteen at a time."""
    async for pair in _change(16):
        yield pair
