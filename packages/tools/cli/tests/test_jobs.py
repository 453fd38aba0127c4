"""``cqrs-ddd jobs`` and ``cqrs-ddd timers`` on real rows."""

import json
from datetime import timedelta
from typing import Any

import pytest

from cqrs_ddd_advanced_core.background_jobs import BackgroundJobService
from cqrs_ddd_advanced_core.scheduling import CommandScheduler
from cqrs_ddd_core import Command

from .conftest import Shop


class CancelUnpaid(Command[None]):
    order_id: str


@pytest.fixture
def ids(shop: Shop) -> dict[str, str]:
    """A job that waits, one that runs, one that failed, one that is done."""

    async def work(application: Any) -> dict[str, str]:
        jobs, found = BackgroundJobService(application.jobs), dict[str, str]()
        for status in ("running", "failed", "done", "waiting"):
            found[status] = await jobs.schedule(
                "Resize", {"photo": status}, max_retries=0, queue="mail", key=status
            )
            if status != "waiting":
                await jobs.mark_running(found[status])
        await jobs.update_progress(found["running"], 0.5, "half [way]")
        await jobs.mark_failed(found["failed"], error="ValueError: no [photo]")
        await jobs.mark_completed(found["done"], result={"bytes": 512})
        return found

    return shop.do(work)


def data_of(shop: Shop, *arguments: str) -> dict[str, Any]:
    result = shop.run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


class TestJobs:
    def test_they_are_listed_by_status(self, shop: Shop, ids: dict[str, str]) -> None:
        listed = data_of(shop, "jobs", "list")["jobs"]
        assert {job["job_id"] for job in listed} == set(ids.values())
        failed = data_of(shop, "jobs", "list", "--status", "failed")["jobs"]
        assert [(job["job_id"], job["error"]) for job in failed] == [
            (ids["failed"], "ValueError: no [photo]")
        ]
        assert data_of(shop, "jobs", "list", "--queue", "none")["jobs"] == []

    def test_the_list_is_a_table_for_people(self, shop: Shop, ids: dict[str, str]) -> None:
        result = shop.run("jobs", "list")
        for text in ("Resize", "failed", "no [photo]", "50% half [way]", "mail"):
            assert text in result.stdout
        assert "no such jobs" in shop.run("jobs", "list", "--type", "Other").stdout

    def test_one_is_shown_with_payload_and_result(self, shop: Shop, ids: dict[str, str]) -> None:
        job = data_of(shop, "jobs", "show", ids["done"])
        assert (job["payload"], job["result"]) == ({"photo": "done"}, {"bytes": 512})
        assert "half [way]" in shop.run("jobs", "show", ids["running"]).stdout
        missing = shop.run("jobs", "show", "j-0")
        assert (missing.exit_code, "j-0" in missing.stderr) == (1, True)

    def test_they_are_counted(self, shop: Shop, ids: dict[str, str]) -> None:
        counts = data_of(shop, "jobs", "stats")
        assert counts.pop("oldest_due_age_seconds") >= 0
        assert counts == {
            "pending": 1,
            "due": 1,
            "retrying": 0,
            "running": 1,
            "completed": 1,
            "failed": 1,
            "cancelled": 0,
            "queues": {"mail": 2},
        }
        assert "mail: 2 unfinished" in shop.run("jobs", "stats").stdout

    def test_failed_ones_are_retried(self, shop: Shop, ids: dict[str, str]) -> None:
        assert data_of(shop, "jobs", "retry", "--failed")["done"] == [ids["failed"]]
        assert data_of(shop, "jobs", "stats")["pending"] == 2
        refused = shop.run("jobs", "retry", ids["failed"])
        assert refused.exit_code == 1
        assert "pending" in refused.stdout

    def test_they_are_cancelled(self, shop: Shop, ids: dict[str, str]) -> None:
        result = shop.run("jobs", "cancel", ids["waiting"], ids["running"], ids["done"])
        assert (result.exit_code, "Cancelled: 2" in result.stdout) == (1, True)
        stopping = data_of(shop, "jobs", "list", "--status", "running")["jobs"]
        assert [job["cancel_requested"] for job in stopping] == [True]

    @pytest.mark.parametrize("command", [["retry"], ["cancel"], ["retry", "j-1", "--failed"]])
    def test_which_ones_must_be_said(self, shop: Shop, command: list[str]) -> None:
        assert shop.run("jobs", *command).exit_code == 2


class TestTimers:
    @pytest.fixture
    def timer(self, shop: Shop) -> str:
        async def work(application: Any) -> str:
            scheduler, command = CommandScheduler(application.timers), CancelUnpaid(order_id="o-1")
            await scheduler.schedule_cron(command, "0 8 * * *", key="daily")
            return await scheduler.schedule(command, after=timedelta(hours=-1), key="unpaid/o-1")

        return shop.do(work)

    def test_they_are_listed_the_next_one_first(self, shop: Shop, timer: str) -> None:
        first, second = data_of(shop, "timers", "list")["timers"]
        assert (first["job_id"], first["job_type"]) == (timer, "CancelUnpaid")
        assert (second["key"], second["cron"]) == ("daily", "0 8 * * *")
        result = shop.run("timers", "list")
        for text in ("unpaid/o-1", "late", "0 8 * * * UTC", "in "):
            assert text in result.stdout

    def test_they_are_cancelled_by_key_or_id(self, shop: Shop, timer: str) -> None:
        assert data_of(shop, "timers", "cancel", timer, "daily")["cancelled"] == [timer, "daily"]
        assert "No timer waits" in shop.run("timers", "list").stdout
        again = shop.run("timers", "cancel", "daily")
        assert (again.exit_code, "never was" in again.stdout) == (1, True)
