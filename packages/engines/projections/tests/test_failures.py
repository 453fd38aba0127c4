"""Events that cannot be applied: the rest of their batch is, and nothing is skipped."""

import asyncio
from typing import Any

import pytest

from cqrs_ddd_core import (
    EventPhase,
    HandlerRegistry,
    InMemoryUnitOfWork,
    RetryPolicy,
    StoredEvent,
)
from cqrs_ddd_core.testing import until
from cqrs_ddd_projections import ErrorPolicy, ProjectionContext, register_for_messages

from .shop import QUICKLY, CustomersHandler, OrderPlaced, Shop, placed
from .test_engine import LONG, at_work, caught_up


class Moody(CustomersHandler):
    """Fails a few times before it takes an event."""

    def __init__(self, failures: int, **options: Any) -> None:
        super().__init__(**options)
        self.failures = failures

    async def placed(self, event: OrderPlaced, at: ProjectionContext) -> None:
        if at.stored.event_id == "moody" and self.failures:
            self.failures -= 1
            raise ConnectionError("not now")
        await super().placed(event, at)


async def test_one_bad_event_keeps_no_other_of_its_batch_back(quick_shop: Shop) -> None:
    events = [placed(f"c-{n}") for n in range(40)]
    handler = CustomersHandler(errors=ErrorPolicy.park(RetryPolicy(max_attempts=1)))
    handler.poison = {events[7].event_id, events[8].event_id, events[39].event_id}
    await quick_shop.append(*events)
    projection = quick_shop.projection(handler)
    async with at_work(projection):
        await caught_up(quick_shop, projection)
        parked = await quick_shop.storage.parked("customers")
        assert [entry.position for entry in parked] == [8, 9, 40]
        assert len(await quick_shop.read()) == 37
        assert all(row == (1, 1) for row in (await quick_shop.read()).values())


async def test_a_failure_that_passes_is_not_noticed(shop: Shop) -> None:
    await shop.append(placed("ann", 1), placed("ann", 2, "moody"), placed("bob", 4))
    many = RetryPolicy(max_attempts=100, base_delay=0.001, max_delay=0.002)
    projection = shop.projection(Moody(5, errors=ErrorPolicy.stop(many)))
    async with at_work(projection):
        await caught_up(shop, projection)
    assert await shop.read() == {"ann": (2, 3), "bob": (1, 4)}
    assert (await shop.storage.versions())[0].error is None


async def test_a_parked_key_is_tried_again_by_itself(shop: Shop) -> None:
    await shop.append(placed("ann", 1, "moody"), placed("ann", 2), placed("bob", 4))
    many = RetryPolicy(max_attempts=100, base_delay=0.001, max_delay=0.002)
    projection = shop.projection(Moody(3, errors=ErrorPolicy.park(many)))
    async with at_work(projection):

        async def is_complete() -> bool:
            return await shop.read() == {"ann": (2, 3), "bob": (1, 4)}

        await caught_up(shop, projection)
        await until(is_complete, timeout=LONG)
        assert await shop.storage.parked() == []


async def test_a_key_that_fails_at_a_later_event_stays_parked_there(quick_shop: Shop) -> None:
    await quick_shop.append(placed("a", 1, "bad"), placed("a", 2), placed("a", 4, "worse"))
    handler = CustomersHandler(errors=ErrorPolicy.park(QUICKLY))
    handler.poison = {"bad", "worse"}
    projection = quick_shop.projection(handler)

    async def parked_at(position: int) -> None:
        async def is_parked() -> bool:
            found = await quick_shop.storage.parked()
            return [(e.position, e.retry_in) for e in found] == [(position, None)]

        await until(is_parked, timeout=LONG)

    async with at_work(projection):
        await parked_at(1)
        handler.poison = {"worse"}
        await quick_shop.storage.retry("customers")
        await parked_at(3)
        assert await quick_shop.read() == {"a": (2, 3)}


async def test_an_event_that_cannot_be_read_is_treated_like_one_that_cannot_be_applied(
    quick_shop: Shop,
) -> None:
    broken = StoredEvent(
        event_id="broken",
        event_type="OrderPlaced",
        stream=placed("ann").stream,
        payload=b'{"customer": 5}',
        occurred_at=placed("ann").occurred_at,
    )
    await quick_shop.append(broken, placed("bob", 4))
    handler = CustomersHandler(errors=ErrorPolicy.park(QUICKLY))
    projection = quick_shop.projection(handler)
    async with at_work(projection):
        await caught_up(quick_shop, projection)
        assert "EventPayloadError" in (await quick_shop.storage.parked())[0].error
        assert await quick_shop.read() == {"bob": (1, 4)}


async def test_a_stopped_projection_is_in_trouble(quick_shop: Shop) -> None:
    await quick_shop.append(placed("ann", 1, "bad"))
    handler = CustomersHandler()
    handler.poison = {"bad"}
    worker, stopping = quick_shop.projection(handler).worker(), asyncio.Event()
    running = asyncio.create_task(worker.run(stopping))
    try:
        await until(
            lambda: "projections resume customers" in (worker.progress.last_error or ""),
            timeout=LONG,
        )
        assert worker.progress.in_trouble
    finally:
        stopping.set()
        await running


async def test_what_fails_in_an_effect_is_not_undone(
    quick_shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    class Telling(CustomersHandler):
        async def placed(self, event: OrderPlaced, at: ProjectionContext) -> None:
            await super().placed(event, at)

            async def tell() -> None:
                raise ValueError("nobody listens")

            at.after_commit(tell)

    projection = quick_shop.projection(Telling())
    async with at_work(projection):
        await until(quick_shop.storage.versions, timeout=LONG)
        await quick_shop.append(placed("ann"))
        await caught_up(quick_shop, projection)
        await until(lambda: "nobody listens" in caplog.text, timeout=LONG)
    assert await quick_shop.read() == {"ann": (1, 1)}


async def test_the_same_handlers_are_fed_by_messages(quick_shop: Shop) -> None:
    told: list[str] = []

    class FromMessages(CustomersHandler):
        async def placed(self, event: OrderPlaced, at: ProjectionContext) -> None:
            await at.write.add("customers", event.customer, {"orders": 1, "total": event.amount})

            async def tell() -> None:
                told.append(event.customer)

            at.after_commit(tell)

    registry = HandlerRegistry()
    register_for_messages(FromMessages(), registry, quick_shop.read_model)
    await quick_shop.read_model.create(1, live=True)
    (entry,) = registry.events
    assert (entry.event_type, entry.phase) == (OrderPlaced, EventPhase.DURABLE)
    assert entry.registration.name == "customers.OrderPlaced"
    handler: Any = entry.registration.handler
    async with InMemoryUnitOfWork():
        await handler(OrderPlaced(customer="ann", amount=3))
        assert await quick_shop.read() == {}
    assert await quick_shop.read() == {"ann": (1, 3)}
    assert told == ["ann"]
