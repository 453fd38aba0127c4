"""Event-sourced aggregates beside state-stored ones in one SQL transaction."""
# ruff: noqa: PT012 - a unit of work is one step

from dataclasses import replace

import pytest

from cqrs_ddd_advanced_core import (
    EventSourcedAggregate,
    EventSourcedMediator,
    EventSourcedRepository,
    EventUpcaster,
    EveryNEventsStrategy,
    UpcasterRegistry,
)
from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    ConcurrencyError,
    DomainEvent,
    EventStorePersistenceMiddleware,
    HandlerRegistry,
    Mediator,
    MiddlewareRegistry,
    StreamId,
    repository,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemySnapshotStore,
    SQLAlchemyUnitOfWork,
    create_schema,
)

from .conftest import Sql

STREAM = StreamId("Till", "t-1")


class Sold(DomainEvent):
    version: int = 2
    cents: int


class Till(EventSourcedAggregate[str]):
    total: int = 0

    def apply_sold(self, event: Sold) -> None:
        self.total += event.cents


class Shop(AggregateRoot[str]):
    sales: int = 0


class ShopUnitOfWork(SQLAlchemyUnitOfWork):
    shops = repository(Shop, table="shops")


class Cents(EventUpcaster):
    supported_type = "Sold"
    from_version = 1

    def upcast(self, payload: dict[str, int]) -> dict[str, int]:
        payload["cents"] = payload.pop("euros") * 100
        return payload


class Sell(Command[None]):
    steps: tuple[int, ...]
    writes_each: bool


class World:
    def __init__(self, sql: Sql) -> None:
        self.sql = sql
        self.upcasters = UpcasterRegistry(Cents())
        self.store = SQLAlchemyEventStore(
            session_factory=sql.session_factory, upcaster_registry=self.upcasters
        )
        self.snapshots = SQLAlchemySnapshotStore(sql.session_factory)
        self.tills = EventSourcedRepository(
            event_store=self.store,
            aggregate_cls=Till,
            snapshot_store=self.snapshots,
            snapshot_strategy=EveryNEventsStrategy(every_n=3),
            upcaster_registry=self.upcasters,
        )

    def uow(self) -> ShopUnitOfWork:
        return ShopUnitOfWork(self.sql.session_factory)

    async def sell(self, *cents: int) -> None:
        async with self.uow() as uow:
            shop = await uow.shops.get("s-1")
            if shop is None:
                shop = Shop(id="s-1")
                await uow.shops.add(shop)
            till = await self.tills.get("t-1") or Till(id="t-1")
            await self.tills.add(till)
            for amount in cents:
                till.record(Sold(cents=amount))
                shop.sales += 1


@pytest.fixture
async def world(sql: Sql) -> World:
    world = World(sql)
    await create_schema(sql.engine, world.store, world.snapshots, ShopUnitOfWork)
    return world


async def test_both_kinds_commit_together_or_not_at_all(world: World) -> None:
    await world.sell(1, 2)
    await world.sell(3)
    stale = await world.tills.require("t-1")
    await world.sell(4)
    stale.record(Sold(cents=5))
    with pytest.raises(ConcurrencyError) as refusal:
        async with world.uow() as uow:
            (await uow.shops.require("s-1")).sales += 1
            await world.tills.add(stale)
    assert (refusal.value.expected, refusal.value.actual) == (3, 4)
    async with world.uow() as uow:
        assert (await uow.shops.require("s-1")).sales == 4
        till = await world.tills.require("t-1")
        assert (till.total, till.version) == (10, 4)
    assert len((await world.store.read_feed()).events) == 4


@pytest.mark.parametrize("writes_each", [False, True])
async def test_a_record_of_all_events_beside_it_has_none_twice(
    world: World, writes_each: bool
) -> None:
    async def sell(command: Sell, uow: ShopUnitOfWork) -> None:
        till = await world.tills.get("t-1") or Till(id="t-1")
        await world.tills.add(till)
        for cents in command.steps:
            till.record(Sold(cents=cents))
            if command.writes_each:
                await uow.flush()
        till.record(Sold(cents=100))

    registry = HandlerRegistry()
    registry.register_command_handler(Sell, sell)
    record = MiddlewareRegistry([EventStorePersistenceMiddleware(world.store)])
    mediator = Mediator(registry, world.uow, middleware_registry=record)
    for _ in range(2):
        await mediator.send(Sell(steps=(1, 2), writes_each=writes_each))
    events = (await world.store.read_feed()).events
    assert [event.version for event in events] == list(range(1, 7))
    assert (await world.tills.require("t-1")).total == 206


async def test_snapshots_are_kept_and_used(world: World) -> None:
    await world.sell(1, 2)
    assert await world.snapshots.get_latest_snapshot(STREAM) is None
    await world.sell(3, 4)
    found = await world.snapshots.get_latest_snapshot(STREAM)
    assert found is not None
    assert found.version == 4
    wrong = found.payload.replace(b'"total":10', b'"total":90')
    await world.snapshots.save_snapshot(replace(found, payload=wrong))
    await world.sell(5)
    assert (await world.tills.require("t-1")).total == 95
    assert getattr(await world.tills.replay("t-1"), "total", None) == 15


async def test_old_events_are_upcast_on_read(world: World) -> None:
    await world.sell(1)
    async with world.uow() as uow:
        events = world.store.tables.events
        await uow.execute(events.update().values(payload=b'{"euros": 7}', schema_version=1))
    (stored,) = (await world.store.read_feed()).events
    assert (stored.schema_version, stored.payload) == (2, b'{"cents":700}')
    assert (await world.tills.require("t-1")).total == 700


async def test_the_mediator_finds_the_class_by_the_stream(world: World) -> None:
    await world.sell(1)
    mediator = EventSourcedMediator(
        registry=HandlerRegistry(),
        event_store=world.store,
        snapshot_store=world.snapshots,
        aggregates=[Till],
    )
    till = await mediator.load("t-1")
    till.record(Sold(cents=2))
    await mediator.save(till)
    assert (await mediator.load("t-1", from_version=0)).total == 3
