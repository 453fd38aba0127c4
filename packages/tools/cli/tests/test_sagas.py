"""``cqrs-ddd sagas`` on real rows."""

import json
from datetime import timedelta
from typing import Any

import pytest

from cqrs_ddd_advanced_core.sagas import (
    JournalEntry,
    SagaAction,
    SagaInstance,
    SagaKind,
    SagaOutcome,
    SagaStatus,
)
from cqrs_ddd_core import utc_now

from .conftest import Shop


def saga(saga_id: str, **values: Any) -> SagaInstance:
    at = utc_now() - timedelta(hours=1)
    defaults: dict[str, Any] = {
        "saga_type": "fulfilment",
        "kind": SagaKind.EVENT_DRIVEN,
        "created_at": at,
        "updated_at": at,
    }
    return SagaInstance(saga_id=saga_id, **{**defaults, **values})


@pytest.fixture(autouse=True)
def sagas(shop: Shop) -> None:
    """One that runs, one asleep, two that wait for a person, one that is done."""
    at = utc_now()
    journal = [
        JournalEntry(
            number=1, action=SagaAction.ACT, outcome=SagaOutcome.COMPLETED, step="reserve", at=at
        ),
        JournalEntry(
            number=2,
            action=SagaAction.COMPENSATE,
            outcome=SagaOutcome.FAILED,
            step="charge",
            attempt=3,
            error="CardError: no [card]",
            at=at,
        ),
    ]

    async def work(application: Any) -> None:
        add = application.sagas.add
        await add(saga("running", step="charge", key="o-1", correlation_id="c-1"))
        await add(saga("asleep", status=SagaStatus.SUSPENDED))
        await add(
            saga(
                "stuck",
                status=SagaStatus.COMPENSATION_FAILED,
                entries=2,
                attempts=3,
                error="CardError: no [card]",
                data=b'{"order": "o-2"}',
                tenant_id="t",
            ),
            journal,
        )
        await add(saga("lost", status=SagaStatus.FAILED, saga_type="trip", kind=SagaKind.TCC))
        done = utc_now() - timedelta(days=90)
        await add(saga("done", status=SagaStatus.COMPLETED, finished_at=done, updated_at=done))

    shop.do(work)


def data_of(shop: Shop, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
    result = shop.run(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def ids_of(shop: Shop, *arguments: str) -> set[str]:
    return {each["saga_id"] for each in data_of(shop, "sagas", "list", *arguments)["sagas"]}


def status_of(shop: Shop, saga_id: str) -> str:
    return data_of(shop, "sagas", "show", saga_id)["status"]


def test_they_are_listed_by_what_they_are(shop: Shop) -> None:
    assert ids_of(shop) == {"running", "asleep", "stuck", "lost", "done"}
    assert ids_of(shop, "--status", "failed", "--status", "suspended") == {"lost", "asleep"}
    assert ids_of(shop, "--type", "trip") == ids_of(shop, "--kind", "tcc") == {"lost"}
    assert ids_of(shop, "--correlation", "c-1") == {"running"}
    assert ids_of(shop, "--tenant", "t") == {"stuck"}
    assert ids_of(shop, "--idle", "2h") == {"done"}


def test_they_are_listed_in_pages(shop: Shop) -> None:
    first = data_of(shop, "sagas", "list", "--limit", "3")["sagas"]
    rest = ids_of(shop, "--limit", "3", "--after", first[-1]["saga_id"])
    assert len(first) == 3
    assert rest | {each["saga_id"] for each in first} == ids_of(shop)


def test_the_list_is_a_table_for_people(shop: Shop) -> None:
    result = shop.run("sagas", "list")
    for text in ("fulfilment", "o-1", "compensation_failed", "no [card]", "charge"):
        assert text in result.stdout
    assert "no such sagas" in shop.run("sagas", "list", "--type", "other").stdout


def test_one_is_shown_with_the_history_of_its_steps(shop: Shop) -> None:
    found = data_of(shop, "sagas", "show", "stuck")
    assert (found["status"], found["state"]) == ("compensation_failed", '{"order": "o-2"}')
    first, second = found["history"]
    assert (first["step"], first["action"], first["outcome"]) == ("reserve", "act", "completed")
    assert (second["attempt"], second["error"]) == (3, "CardError: no [card]")
    result = shop.run("sagas", "show", "stuck")
    for text in ("compensate charge", "no [card]", "o-2"):
        assert text in result.stdout
    missing = shop.run("sagas", "show", "s-0")
    assert (missing.exit_code, "s-0" in missing.stderr) == (1, True)


def test_they_are_counted_and_the_exit_code_tells_of_stuck_ones(shop: Shop) -> None:
    counts = data_of(shop, "sagas", "stats", exit_code=1)
    assert counts == {
        "fulfilment": {"running": 1, "suspended": 1, "compensation_failed": 1, "completed": 1},
        "trip": {"failed": 1},
    }
    assert "trip" in shop.run("sagas", "stats").stdout
    shop.run("sagas", "retry", "--stuck")
    assert data_of(shop, "sagas", "stats")["trip"] == {"running": 1}


def test_stuck_ones_are_retried_with_a_note(shop: Shop) -> None:
    assert set(data_of(shop, "sagas", "retry", "--stuck")["done"]) == {"stuck", "lost"}
    assert (status_of(shop, "stuck"), status_of(shop, "lost")) == ("compensating", "running")
    refused = data_of(shop, "sagas", "retry", "asleep", "running", "--reason", "x", exit_code=1)
    assert (refused["done"], list(refused["skipped"])) == (["running"], ["asleep"])
    note = data_of(shop, "sagas", "show", "running")["history"][-1]
    assert (note["action"], note["error"].endswith(": x")) == ("operator", True)


def test_one_is_compensated_by_hand(shop: Shop) -> None:
    result = shop.run("sagas", "compensate", "running", "done", "--reason", "a mistake")
    assert (result.exit_code, "To be undone: 1" in result.stdout) == (1, True)
    assert "cannot be compensated" in result.stdout.replace("\n", " ")
    assert status_of(shop, "running") == "compensating"


def test_one_that_sleeps_is_resumed(shop: Shop) -> None:
    assert data_of(shop, "sagas", "resume", "asleep")["done"] == ["asleep"]
    assert status_of(shop, "asleep") == "running"


def test_finished_ones_are_forgotten(shop: Shop) -> None:
    assert data_of(shop, "sagas", "purge", "--older-than", "30d") == {"purged": 1}
    assert "done" not in ids_of(shop)


@pytest.mark.parametrize(
    "command", [["retry"], ["compensate"], ["resume"], ["retry", "s-1", "--stuck"]]
)
def test_which_ones_must_be_said(shop: Shop, command: list[str]) -> None:
    assert shop.run("sagas", *command).exit_code == 2
