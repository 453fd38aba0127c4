"""What people do with sagas by hand."""

from typing import Any

import pytest

from cqrs_ddd_advanced_core.sagas import (
    IllegalSagaTransitionError,
    InMemorySagaRepository,
    SagaInstance,
    SagaKind,
    SagaNotFoundError,
    SagaOperations,
    SagaStatus,
)
from cqrs_ddd_core import use_clock, utc_now
from cqrs_ddd_core.testing import ManualClock


@pytest.fixture
def sagas() -> InMemorySagaRepository:
    return InMemorySagaRepository()


@pytest.fixture
def operations(sagas: InMemorySagaRepository) -> SagaOperations:
    return SagaOperations(sagas, operator="ada")


def trip(saga_id: str, **values: Any) -> SagaInstance:
    now = utc_now()
    defaults: dict[str, Any] = {"saga_type": "trip", "kind": SagaKind.TCC, "wake_at": now}
    return SagaInstance(saga_id=saga_id, created_at=now, updated_at=now, **{**defaults, **values})


@pytest.mark.parametrize(
    ("move", "before", "after"),
    [
        ("retry", SagaStatus.FAILED, SagaStatus.RUNNING),
        ("retry", SagaStatus.RUNNING, SagaStatus.RUNNING),
        ("retry", SagaStatus.COMPENSATING, SagaStatus.COMPENSATING),
        ("retry", SagaStatus.COMPENSATION_FAILED, SagaStatus.COMPENSATING),
        ("compensate", SagaStatus.RUNNING, SagaStatus.COMPENSATING),
        ("compensate", SagaStatus.SUSPENDED, SagaStatus.COMPENSATING),
        ("compensate", SagaStatus.FAILED, SagaStatus.COMPENSATING),
        ("resume", SagaStatus.SUSPENDED, SagaStatus.RUNNING),
    ],
)
async def test_a_move_is_noted_and_wakes_the_saga(
    sagas: InMemorySagaRepository,
    operations: SagaOperations,
    move: str,
    before: SagaStatus,
    after: SagaStatus,
) -> None:
    with use_clock(ManualClock()):
        await sagas.add(trip("s-1", wake_at=None, status=before, attempts=7))
        moved = await getattr(operations, move)("s-1", "they asked")
        assert (moved.status, moved.attempts, moved.wake_at) == (after, 0, utc_now())
    assert await operations.get_saga_state("s-1") == moved
    (entry,) = await operations.history("s-1")
    assert (entry.number, entry.step) == (1, f"{before} -> {after}")
    assert entry.error == "ada: they asked"


async def test_nothing_turns_round_or_begins_again(
    sagas: InMemorySagaRepository, operations: SagaOperations
) -> None:
    possible: dict[str, set[SagaStatus]] = {
        "retry": {
            SagaStatus.RUNNING,
            SagaStatus.FAILED,
            SagaStatus.COMPENSATING,
            SagaStatus.COMPENSATION_FAILED,
        },
        "compensate": {SagaStatus.RUNNING, SagaStatus.SUSPENDED, SagaStatus.FAILED},
        "resume": {SagaStatus.SUSPENDED},
    }
    for move, statuses in possible.items():
        for status in set(SagaStatus) - statuses:
            await sagas.add(trip(f"{move} {status}", status=status))
            with pytest.raises(IllegalSagaTransitionError) as refused:
                await getattr(operations, move)(f"{move} {status}")
            assert set(refused.value.allowed) == {str(each) for each in statuses}
            assert await operations.history(f"{move} {status}") == []


async def test_what_is_not_there_cannot_be_moved(operations: SagaOperations) -> None:
    for work in (operations.retry, operations.history, operations.get_saga_state):
        with pytest.raises(SagaNotFoundError):
            await work("s-0")
