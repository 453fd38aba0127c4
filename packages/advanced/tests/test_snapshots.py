"""Snapshots save work and are never believed over the events."""
# ruff: noqa: PT012 - a unit of work is one step

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from cqrs_ddd_advanced_core import (
    CustomStrategy,
    EventSourcedRepository,
    EveryNEventsStrategy,
    InMemorySnapshotStore,
    ISnapshotStrategy,
    JSONSnapshotSerializer,
    TimeStrategy,
)
from cqrs_ddd_core import InMemoryEventStore, InMemoryUnitOfWork, StoredEvent, StreamId, use_clock
from cqrs_ddd_core.testing import ManualClock

from .bank import COURSES, Account, Course

STREAM = StreamId("Account", "a-1")


class CountingStore(InMemoryEventStore):
    """Counts the events that are read."""

    read = 0

    async def read_stream(self, *args: Any, **options: Any) -> AsyncGenerator[StoredEvent]:
        async for event in super().read_stream(*args, **options):
            self.read += 1
            yield event


class World:
    def __init__(self, strategy: ISnapshotStrategy, **options: Any) -> None:
        self.store, self.snapshots = CountingStore(), InMemorySnapshotStore()
        self.accounts = self.repository(strategy, **options)

    def repository(self, strategy: ISnapshotStrategy, **options: Any) -> Any:
        return EventSourcedRepository(
            event_store=self.store,
            aggregate_cls=Account,
            snapshot_store=self.snapshots,
            snapshot_strategy=strategy,
            **options,
        )

    async def open(self) -> None:
        await self.accounts.add(Account.open("a-1", "Ada"))

    async def deposit(self, *amounts: int) -> None:
        account = await self.accounts.require("a-1")
        for amount in amounts:
            account.deposit(amount)
        await self.accounts.add(account)

    async def version(self) -> int | None:
        found = await self.snapshots.get_latest_snapshot(STREAM)
        return None if found is None else found.version


async def test_every_five_events_also_when_three_come_at_once() -> None:
    world, versions = World(EveryNEventsStrategy(every_n=5)), list[int | None]()
    await world.open()
    for _ in range(6):
        await world.deposit(1, 1, 1)
        versions.append(await world.version())
    assert versions == [None, 7, 7, 13, 13, 19]
    world.store.read = 0
    account = await world.accounts.require("a-1")
    assert (account.balance, account.version, account.owner) == (18, 19, "Ada")
    assert world.store.read == 1


async def test_by_time() -> None:
    world, clock = World(TimeStrategy(every=60)), ManualClock()
    with use_clock(clock):
        await world.open()
        assert await world.version() == 1
        await world.deposit(1)
        assert await world.version() == 1
        clock.advance(60)
        await world.deposit(1)
        assert await world.version() == 3
        account = await world.accounts.require("a-1")
        clock.advance(60)
        await world.accounts.add(account)
        assert await world.version() == 3


async def test_by_a_rule_of_ones_own() -> None:
    world = World(CustomStrategy(lambda progress: progress.aggregate.balance > 10))
    await world.open()
    await world.deposit(10)
    assert await world.version() is None
    await world.deposit(1)
    assert await world.version() == 3


async def test_a_snapshot_of_a_transaction_that_failed_never_was() -> None:
    world = World(EveryNEventsStrategy(every_n=1))
    await world.open()
    with pytest.raises(LookupError):
        async with InMemoryUnitOfWork() as uow:
            (await world.accounts.require("a-1")).deposit(1)
            await uow.flush()
            found = await world.snapshots.get_latest_snapshot(STREAM, uow)
            assert found is not None
            assert found.version == 2
            raise LookupError
    assert await world.version() == 1


async def test_a_snapshot_that_contradicts_the_events_is_not_believed() -> None:
    world = World(EveryNEventsStrategy(every_n=1))
    await world.open()
    await world.deposit(5)
    found = await world.snapshots.get_latest_snapshot(STREAM)
    assert found is not None
    wrong = found.payload.replace(b'"balance":5', b'"balance":9')
    for lie in (
        replace(found, event_id="another", payload=wrong),
        replace(found, version=99, payload=wrong),
        replace(found, payload=b'{"nonsense"'),
    ):
        await world.snapshots.delete_snapshot(STREAM)
        await world.snapshots.save_snapshot(lie)
        assert (await world.accounts.require("a-1")).balance == 5
    await world.snapshots.delete_snapshot(STREAM)
    await world.snapshots.save_snapshot(replace(found, payload=wrong))
    assert (await world.accounts.require("a-1")).balance == 9  # so it is used
    assert (await world.accounts.replay("a-1")).balance == 5


async def test_a_snapshot_of_an_old_form_is_discarded_or_upcast() -> None:
    world = World(EveryNEventsStrategy(every_n=1))
    await world.open()
    await world.deposit(5)
    found = await world.snapshots.get_latest_snapshot(STREAM)
    assert found is not None
    assert found.schema == JSONSnapshotSerializer().schema_of(Account)
    old = replace(found, schema="1", payload=b'{"id":"a-1","owner":"Ada","euros":7}')
    await world.snapshots.save_snapshot(old)
    assert (await world.accounts.require("a-1")).balance == 5

    def upcast(state: dict[str, Any]) -> dict[str, Any]:
        return {"id": state["id"], "owner": state["owner"], "balance": state["euros"] * 100}

    serializer = JSONSnapshotSerializer({("Account", "1"): upcast})
    reading = world.repository(EveryNEventsStrategy(), snapshot_serializer=serializer)
    assert (await reading.require("a-1")).balance == 700


async def test_a_form_can_be_named_by_hand() -> None:
    class Named(Account):
        snapshot_schema: ClassVar[str] = "7"

    serializer = JSONSnapshotSerializer()
    assert serializer.schema_of(Named) == "7"
    assert serializer.schema_of(Account) != serializer.schema_of(Course)


async def test_deciders_have_snapshots_of_their_state() -> None:
    store, snapshots = CountingStore(), InMemorySnapshotStore()
    courses = EventSourcedRepository[Any](
        event_store=store,
        aggregate_cls=COURSES,
        snapshot_store=snapshots,
        snapshot_strategy=EveryNEventsStrategy(every_n=2),
    )
    course = COURSES.new("c-1")
    for command in (3, "Ada", "Bob"):
        course.execute(command)
    await courses.add(course)
    store.read = 0
    found = await courses.require("c-1")
    assert (found.state, found.version, store.read) == (Course(3, ("Ada", "Bob")), 3, 1)


async def test_without_a_snapshot_or_stream_there_is_nothing() -> None:
    world = World(EveryNEventsStrategy(every_n=1))
    assert await world.accounts.get("a-1") is None
