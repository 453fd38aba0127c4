"""Orchestrations and TCCs on the databases: with business rows, under two workers, by hand."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cqrs_ddd_advanced_core.orchestration import (
    Orchestration,
    OrchestrationRunner,
    Step,
    StepCall,
    StepFunctions,
)
from cqrs_ddd_advanced_core.sagas import SagaOperations, SagaRecoveryWorker, SagaStatus
from cqrs_ddd_core import RetryPolicy
from cqrs_ddd_persistence_sqlalchemy import SQLAlchemySagaRepository
from tests.orchestration.shop import Effect, Order, Shop

ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture(params=["sqlite_url", "postgres_url", "mariadb_url"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(
        request.getfixturevalue(request.param), tmp_path / "calls", SQLAlchemySagaRepository
    )
    await shop.create_schema()
    yield shop
    await shop.engine.dispose()


def runner_of(shop: Shop, *others: Orchestration[Order]) -> OrchestrationRunner:
    return OrchestrationRunner(shop.sagas, [shop.ship_order, shop.book_trip, *others])


async def test_a_saga_commits_with_the_business_row_or_not_at_all(shop: Shop) -> None:
    runner = runner_of(shop)
    async with shop.uow() as uow:
        await uow.effects.add(Effect(id="gone", what="order"))
        await runner.start(shop.ship_order, Order(), saga_id="gone")
        await uow.rollback()
    async with shop.uow() as uow:
        await uow.effects.add(Effect(id="there", what="order"))
        await runner.start(shop.ship_order, Order(), saga_id="there")
    async with shop.uow() as uow:
        assert [each.id for each in await uow.effects.list_all()] == ["there"]
    assert await shop.sagas.find("gone") is None
    assert await SagaRecoveryWorker(shop.sagas, [runner]).run_once() == 1
    result = await runner.result(shop.ship_order, "there")
    assert result.require_completed().parcel is not None


async def test_two_workers_share_sagas_and_run_none_twice(shop: Shop) -> None:
    runners = [runner_of(shop) for _ in range(2)]
    for number in range(8):
        definition = shop.ship_order if number % 2 else shop.book_trip
        await runners[0].start(definition, Order(paid=number % 4 < 2), saga_id=f"s-{number}")
    workers = [SagaRecoveryWorker(shop.sagas, [runner], max_concurrency=2) for runner in runners]
    assert sum(await asyncio.gather(*(worker.run_once() for worker in workers))) == 8
    effects = await shop.effects()
    assert effects
    assert all(times == [1] for times in effects.values())
    statuses = [(await runners[0].result(shop.ship_order, f"s-{n}")).status for n in range(8)]
    completed, compensated = SagaStatus.COMPLETED, SagaStatus.COMPENSATED
    assert statuses == [completed, completed, compensated, compensated] * 2


async def test_a_failed_compensation_is_kept_with_its_error_and_tried_again(shop: Shop) -> None:
    is_back = False

    async def undo(order: Order, call: StepCall) -> None:
        if not is_back:
            raise RuntimeError("no \0 answer \N{SNOWMAN}")
        await shop.undo(order, call)

    async def refuse(_: Order, call: StepCall) -> None:
        raise RuntimeError("refused")

    broken = Orchestration(
        "broken",
        Order,
        [
            Step("act", StepFunctions(shop.act, undo)),
            Step("refuse", StepFunctions(refuse), compensates=False),
        ],
        compensation_retry=ONCE,
    )
    runner = runner_of(shop, broken)
    result = await runner.run(broken, Order(label="\0 \N{SNOWMAN}"), saga_id="s")
    assert result.status is SagaStatus.COMPENSATION_FAILED
    assert "\N{SNOWMAN}" in (result.error or "")
    assert result.context.label == "\0 \N{SNOWMAN}"
    is_back = True
    await SagaOperations(shop.sagas).retry("s", "the other side is back")
    assert await SagaRecoveryWorker(shop.sagas, [runner]).run_once() == 1
    result = await runner.result(broken, "s")
    assert result.status is SagaStatus.COMPENSATED
    assert await shop.effects() == {"s act act": [1], "s compensate act": [1]}


async def test_an_effect_is_undone_with_the_end_of_its_step(shop: Shop) -> None:
    async def act(order: Order, call: StepCall) -> None:
        async with shop.uow() as uow:
            await uow.effects.add(Effect(id=call.idempotency_key, what="row"))
            await call.complete(order)
            raise RuntimeError("the last check fails")

    single = Orchestration("single", Order, [Step("act", StepFunctions(act), compensates=False)])
    result = await runner_of(shop, single).run(single, Order())
    assert result.status is SagaStatus.COMPENSATED
    assert await shop.effects() == {}
