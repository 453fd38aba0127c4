"""Projections on every store: exactly once, in order, parked, rebuilt, waited for."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from cqrs_ddd_core import InMemoryReadModel, VersionState, VersionStatus
from cqrs_ddd_core.testing import until
from cqrs_ddd_projections import (
    ErrorPolicy,
    Projection,
    ProjectionBehindError,
    ProjectionStoppedError,
    RebuildAbandonedError,
    report_on,
)

from .shop import QUICKLY, CustomersHandler, Shop, placed

LONG = 60.0


@asynccontextmanager
async def at_work(*projections: Projection) -> AsyncGenerator[None]:
    """Run a worker for each; what one raises ends the block."""
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for projection in projections:
            group.create_task(projection.worker().run(stopping))
        try:
            yield
        finally:
            stopping.set()


async def caught_up(shop: Shop, projection: Projection) -> None:
    await projection.wait_for(await shop.event_store.latest_position(), timeout=LONG)


async def test_it_catches_up_and_then_follows(shop: Shop) -> None:
    await shop.append(placed("ann", 10), placed("bob", 5), placed("ann", 1))
    projection = shop.projection(CustomersHandler())
    async with at_work(projection):
        await caught_up(shop, projection)
        assert await shop.read() == {"ann": (2, 11), "bob": (1, 5)}
        await shop.append(placed("bob", 7))
        await caught_up(shop, projection)
        assert await shop.read() == {"ann": (2, 11), "bob": (2, 12)}


async def test_an_empty_read_model_can_be_read_when_nothing_has_to_be_waited_for(
    quick_shop: Shop,
) -> None:
    began, gate = asyncio.Event(), asyncio.Event()

    class SlowlyMade(InMemoryReadModel):
        async def create(self, version: int, *, live: bool) -> None:
            began.set()
            await gate.wait()
            await super().create(version, live=live)

    quick_shop.read_model = SlowlyMade()
    projection = quick_shop.projection(CustomersHandler())
    async with at_work(projection):
        await began.wait()
        with pytest.raises(ProjectionBehindError, match="has never run"):
            await projection.wait_for(0, timeout=0.05)
        gate.set()
        await projection.wait_for(0, timeout=LONG)
        assert quick_shop.read_model.live == 1


async def test_another_worker_goes_on_where_the_last_one_ended(shop: Shop) -> None:
    for day in range(3):
        await shop.append(*(placed(f"c-{n % 5}", day) for n in range(7)))
        projection = shop.projection(CustomersHandler())
        async with at_work(projection):
            await caught_up(shop, projection)
    rows = await shop.read()
    assert sum(orders for orders, _ in rows.values()) == 21
    assert sum(total for _, total in rows.values()) == 7 * (0 + 1 + 2)


async def test_several_workers_share_the_partitions(shop: Shop) -> None:
    await shop.append(*(placed(f"c-{n % 11}") for n in range(200)))
    projections = [shop.projection(CustomersHandler(partitions=4)) for _ in range(3)]
    async with at_work(*projections):
        await caught_up(shop, projections[0])
        await shop.append(*(placed(f"c-{n % 11}") for n in range(200)))
        await caught_up(shop, projections[1])
    rows = await shop.read()
    assert sum(orders for orders, _ in rows.values()) == 400


async def test_a_poisoned_event_stops_the_projection_until_it_is_resumed(shop: Shop) -> None:
    await shop.append(placed("ann", 1), placed("ann", 2, "poison"), placed("bob", 4))
    handler = CustomersHandler()
    handler.poison.add("poison")
    projection = shop.projection(handler)
    async with at_work(projection):

        async def error() -> str | None:
            versions = await shop.storage.versions("customers")
            return versions[0].error if versions else None

        assert "OrderPlaced of Customer/ann at 2: ValueError: cannot take poison" in (
            await until(error, timeout=LONG)
        )
        assert await shop.read() == {"ann": (1, 1)}
        handler.poison.clear()
        await shop.storage.resume("customers")
        await caught_up(shop, projection)
    assert await shop.read() == {"ann": (2, 3), "bob": (1, 4)}


async def test_a_parked_key_holds_back_its_own_events_alone(shop: Shop) -> None:
    await shop.append(
        placed("ann", 1), placed("ann", 2, "poison"), placed("bob", 4), placed("ann", 8)
    )
    handler = CustomersHandler(errors=ErrorPolicy.park(QUICKLY), partitions=2)
    handler.poison.add("poison")
    projection = shop.projection(handler)
    async with at_work(projection):
        await caught_up(shop, projection)

        async def parked() -> bool:
            found = await shop.storage.parked("customers")
            return [(p.key, p.behind, p.retry_in) for p in found] == [("Customer/ann", 1, None)]

        await until(parked, timeout=LONG)
        await shop.append(placed("ann", 16), placed("bob", 32))
        await caught_up(shop, projection)
        assert await shop.read() == {"ann": (1, 1), "bob": (2, 36)}
        handler.poison.clear()
        assert await shop.storage.retry("customers", ["Customer/ann"]) == 1

        async def is_free() -> bool:
            return not await shop.storage.parked("customers")

        await until(is_free, timeout=LONG)
        assert await shop.read() == {"ann": (4, 27), "bob": (2, 36)}
    assert [p for p in handler.handled if p in {1, 2, 4, 5}][-3:] == [2, 4, 5]


async def test_a_rebuild_runs_beside_the_live_version_and_takes_over(shop: Shop) -> None:
    projection = shop.projection(first := CustomersHandler(partitions=2))
    async with at_work(projection):
        await until(lambda: shop.storage.versions("customers"), timeout=LONG)
        await shop.append(*(placed(f"c-{n % 7}", n) for n in range(120)))
        await caught_up(shop, projection)
        before = await shop.read()
        await until(lambda: sorted(first.told) == list(range(1, 121)), timeout=LONG)
        await shop.storage.rebuild("customers", partitions=3)

        async def is_done() -> bool:
            await shop.append(placed("late"))
            versions = await shop.storage.versions("customers")
            return [(v.version, v.state) for v in versions] == [(2, VersionState.LIVE)]

        await until(is_done, timeout=LONG)
        await caught_up(shop, projection)
        after = dict(await shop.read())
        last = await shop.event_store.latest_position()
    assert after.pop("late") == (last - 120, last - 120)
    assert after == before
    assert sorted(first.told) == list(range(1, last + 1))  # each event told once, by one version


async def test_a_rebuild_is_begun_and_waited_for_from_code(shop: Shop) -> None:
    projection = shop.projection(handler := CustomersHandler(partitions=2))
    await shop.append(*(placed(f"c-{n % 3}", n) for n in range(60)))
    seen: list[VersionStatus] = []
    async with at_work(projection):
        await caught_up(shop, projection)
        version = await projection.rebuild(seen.append)
        await caught_up(shop, projection)
    assert (version.version, seen[-1].version.state) == (2, VersionState.LIVE)
    assert sum(orders for orders, _ in (await shop.read()).values()) == 60
    assert sorted(handler.handled) == sorted([*range(1, 61)] * 2)


async def test_who_waits_for_a_rebuild_is_told_why_it_will_not_come(quick_shop: Shop) -> None:
    projection = quick_shop.projection(handler := CustomersHandler())
    await quick_shop.append(placed("ann", event_id="poison"))
    async with at_work(projection):
        await caught_up(quick_shop, projection)
        handler.poison.add("poison")
        with pytest.raises(ProjectionStoppedError, match="cannot take poison"):
            await projection.rebuild()
    assert await quick_shop.read() == {"ann": (1, 1)}
    await quick_shop.storage.abandon("customers")

    async def is_begun() -> bool:
        return len(await quick_shop.storage.versions("customers")) == 3

    waiting = asyncio.create_task(projection.rebuild())
    await until(is_begun, timeout=LONG)
    assert await quick_shop.storage.abandon("customers")
    with pytest.raises(RebuildAbandonedError, match="begins another one"):
        await waiting


async def test_handlers_of_a_new_revision_build_a_new_version(shop: Shop) -> None:
    await shop.append(*(placed("ann", n) for n in range(5)))
    old = shop.projection(CustomersHandler())
    async with at_work(old):
        await caught_up(shop, old)
    await shop.append(placed("ann", 100))
    handler = CustomersHandler(revision=2)
    new = shop.projection(handler)
    async with at_work(new):
        await caught_up(shop, new)
    assert await shop.read() == {"ann": (6, 110)}
    assert handler.told == [6]
    assert (await shop.storage.versions("customers"))[-1].revision == 2


async def test_a_paused_projection_waits(shop: Shop) -> None:
    projection = shop.projection(CustomersHandler())
    async with at_work(projection):
        await shop.append(placed("ann"))
        await caught_up(shop, projection)
        await shop.storage.pause("customers")
        await shop.append(placed("ann"))
        with pytest.raises(ProjectionBehindError) as caught:
            await projection.wait_for(2, timeout=0.05)
        assert (caught.value.reached, caught.value.position) == (1, 2)
        report = (await report_on(shop.storage, shop.event_store))[0]
        assert (report.lag, report.target) == (1, 2)
        assert report.lag_seconds >= 0
        await shop.storage.resume("customers")
        await caught_up(shop, projection)
    assert await shop.read() == {"ann": (2, 2)}


async def test_an_abandoned_rebuild_leaves_nothing(shop: Shop) -> None:
    projection = shop.projection(CustomersHandler())
    await shop.append(placed("ann"))
    async with at_work(projection):
        await caught_up(shop, projection)
        await shop.storage.pause("customers")
        await shop.storage.rebuild("customers")
        assert await shop.storage.abandon("customers")

        async def is_gone() -> bool:
            return len(await shop.storage.versions("customers")) == 1

        await until(is_gone, timeout=LONG)
        await shop.storage.resume("customers")
    assert await shop.read() == {"ann": (1, 1)}
