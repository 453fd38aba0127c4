"""What every store of jobs and timers promises."""
# ruff: noqa: D102, PLR2004, PT012 - test names are sentences; a unit of work is one step

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cqrs_ddd_advanced_core.background_jobs import (
    CatchUp,
    Heartbeat,
    IBackgroundJobRepository,
    IllegalJobTransitionError,
    Job,
    JobCancelledError,
    JobKeyTakenError,
    JobLeaseLostError,
    JobNotFoundError,
    JobSettlement,
    JobStatus,
    Recurrence,
)
from cqrs_ddd_core.primitives.errors import ConcurrencyError, PersistenceError
from cqrs_ddd_core.testing.conformance.samples import Order, UowFactory
from cqrs_ddd_core.testing.conformance.steps import version_of

Jobs = IBackgroundJobRepository
_LONG_AGO = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
_FAR = datetime(2096, 1, 1, tzinfo=UTC)
_LONG = 3600.0


class _Oops(Exception):  # noqa: N818
    """What a test raises on purpose."""


def job(job_id: str, **values: Any) -> Job:
    """Return a pending job that is due."""
    defaults: dict[str, Any] = {"job_type": "t", "created_at": _LONG_AGO, "due_at": _LONG_AGO}
    return Job(job_id=job_id, **{**defaults, **values})


async def _claim(jobs: Jobs, number: int = 10, **options: Any) -> list[Job]:
    options = {"worker": "w", "lease": _LONG, **options}
    return list(await jobs.claim({"default": number}, **options))


def _done(claimed: Job, status: JobStatus = JobStatus.COMPLETED, **values: Any) -> JobSettlement:
    return JobSettlement(job_id=claimed.job_id, epoch=claimed.epoch, status=status, **values)


async def _status(jobs: Jobs, job_id: str) -> JobStatus:
    found = await jobs.find(job_id)
    assert found is not None
    return found.status


class BackgroundJobRepositoryConformance:
    """Subclass, provide the fixtures ``jobs`` and ``uow_factory``, done.

    ``jobs`` is empty and on the same store as the units of work of ``uow_factory`` (see
    ``UnitOfWorkConformance`` of the core).
    """

    async def test_it_implements_the_port(self, jobs: Jobs) -> None:
        assert isinstance(jobs, IBackgroundJobRepository)

    # -- adding and finding ---------------------------------------------------------------------

    async def test_a_job_comes_back_as_it_was_added(self, jobs: Jobs) -> None:
        added = job(
            "j-1",
            data=b'{"k": "\xc3\xa4"}',
            queue="mail",
            priority=-7,
            key="Zoë/1",
            description="wöchentlich 😀",
            recurrence=Recurrence(cron="0 8 * * 1", timezone="Europe/Riga", catch_up=CatchUp.NONE),
            correlation_id="c",
            causation_id="m",
            max_attempts=5,
            timeout=1.5,
            due_at=_FAR,
            occurs_at=_LONG_AGO,
        )
        await jobs.add(added)
        assert await jobs.find("j-1") == added
        assert await jobs.find_by_key("Zoë/1") == added
        assert added.payload == {"k": "ä"}

    async def test_what_is_not_there_is_not_found(self, jobs: Jobs) -> None:
        assert await jobs.find("j-1") is None
        assert await jobs.find_by_key("k") is None
        assert await jobs.cancel("j-1") is None
        assert await jobs.retry("j-1") is None
        assert await jobs.reschedule("j-1", _FAR) is None
        assert await jobs.settle_all([]) == set()
        assert await jobs.heartbeat([], lease=1) == {}
        with pytest.raises(JobNotFoundError):
            await jobs.claim_one("j-1", worker="w", lease=1, epoch=None)

    async def test_an_id_is_taken_once(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1"))
        with pytest.raises(PersistenceError):
            await jobs.add(job("j-1"))

    async def test_a_key_has_one_unfinished_job(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1", key="k"))
        with pytest.raises(JobKeyTakenError) as caught:
            await jobs.add(job("j-2", key="k"))
        assert caught.value.key == "k"
        assert isinstance(caught.value, ConcurrencyError)
        await jobs.add(job("j-3", key="K"))
        [first, _] = await _claim(jobs)
        with pytest.raises(JobKeyTakenError):
            await jobs.add(job("j-2", key="k"))
        await jobs.settle(_done(first))
        await jobs.add(job("j-2", key="k"))
        found = await jobs.find_by_key("k")
        assert found is not None
        assert found.job_id == "j-2"

    async def test_of_many_that_add_one_key_at_once_one_succeeds(self, jobs: Jobs) -> None:
        async def add(number: int) -> bool:
            try:
                await jobs.add(job(f"j-{number}", key="k"))
            except JobKeyTakenError:
                return False
            return True

        assert sum(await asyncio.gather(*map(add, range(5)))) == 1

    @pytest.mark.parametrize("given", [True, False], ids=["given", "current"])
    async def test_a_job_is_there_once_its_unit_of_work_has_committed(
        self, jobs: Jobs, uow_factory: UowFactory, given: bool
    ) -> None:
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            await jobs.add(job("j-1", key="k"), uow if given else None)
            assert (await jobs.find("j-1", uow)) is not None
            assert (await jobs.find_by_key("k", uow)) is not None
        assert len(await _claim(jobs)) == 1
        assert await version_of(uow_factory, "o-1") == 1

    async def test_a_job_of_a_failed_unit_of_work_never_was(
        self, jobs: Jobs, uow_factory: UowFactory
    ) -> None:
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                await jobs.add(job("j-1", key="k"), uow)
                raise _Oops
        assert await _claim(jobs) == []
        await jobs.add(job("j-2", key="k"))

    async def test_a_unit_of_work_may_put_one_job_in_the_place_of_another(
        self, jobs: Jobs, uow_factory: UowFactory
    ) -> None:
        await jobs.add(job("j-1", key="k"))
        async with uow_factory() as uow:
            assert await jobs.cancel("j-1", uow) is JobStatus.PENDING
            assert await jobs.find_by_key("k", uow) is None
            await jobs.add(job("j-2", key="k"), uow)
        assert [each.job_id for each in await _claim(jobs)] == ["j-2"]

    # -- claiming -------------------------------------------------------------------------------

    async def test_a_claim_takes_due_jobs_of_its_queues_alone(self, jobs: Jobs) -> None:
        await jobs.add(job("due"))
        await jobs.add(job("later", due_at=_FAR))
        await jobs.add(job("mail", queue="mail"))
        await jobs.add(job("other", queue="other"))
        claimed = await jobs.claim({"default": 5, "mail": 5, "none": 0}, worker="w", lease=_LONG)
        assert {each.job_id for each in claimed} == {"due", "mail"}
        assert await _claim(jobs) == []

    async def test_a_claimed_job_says_by_whom_and_until_when(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1"))
        [claimed] = await _claim(jobs, worker="host:1", lease=60.0)
        assert (claimed.status, claimed.worker) == (JobStatus.RUNNING, "host:1")
        assert (claimed.epoch, claimed.attempts) == (1, 1)
        assert claimed.lease_until is not None
        assert claimed.started_at is not None
        assert (claimed.lease_until - claimed.started_at).total_seconds() == pytest.approx(60)
        assert await jobs.find("j-1") == claimed

    async def test_the_highest_priority_comes_first_then_the_oldest(self, jobs: Jobs) -> None:
        later = _LONG_AGO + timedelta(seconds=1)
        for job_id, priority, due_at in [
            ("c", 0, _LONG_AGO),
            ("a", 9, later),
            ("d", 0, later),
            ("e", -1, _LONG_AGO),
            ("b", 5, _LONG_AGO),
        ]:
            await jobs.add(job(job_id, priority=priority, due_at=due_at))
        first = await _claim(jobs, 2)
        rest = await _claim(jobs)
        assert [each.job_id for each in [*first, *rest]] == ["a", "b", "c", "d", "e"]

    async def test_a_claim_can_be_for_some_types_alone(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1", job_type="a"))
        await jobs.add(job("j-2", job_type="b"))
        assert [each.job_id for each in await _claim(jobs, job_types=["b", "c"])] == ["j-2"]

    async def test_claims_at_once_never_share_a_job(self, jobs: Jobs) -> None:
        for number in range(30):
            await jobs.add(job(f"j-{number}"))

        async def work(worker: str) -> list[str]:
            mine: list[str] = []
            while len(mine) < 30 and (claimed := await _claim(jobs, 3, worker=worker)):
                mine += [each.job_id for each in claimed]
            return mine

        claimed = sum(await asyncio.gather(*(work(f"w-{n}") for n in range(4))), list[str]())
        claimed += [each.job_id for each in await _claim(jobs, 30)]  # what a busy moment left
        assert Counter(claimed) == Counter(f"j-{number}" for number in range(30))

    async def test_one_job_can_be_claimed_by_its_id_once(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1", due_at=_FAR))
        claimed = await jobs.claim_one("j-1", worker="w", lease=_LONG, epoch=None)
        assert (claimed.status, claimed.attempts) == (JobStatus.RUNNING, 1)
        with pytest.raises(IllegalJobTransitionError) as caught:
            await jobs.claim_one("j-1", worker="w", lease=_LONG, epoch=None)
        assert caught.value.status is JobStatus.RUNNING

    async def test_a_reserved_job_is_hidden_and_belongs_to_its_reservation(
        self, jobs: Jobs
    ) -> None:
        await jobs.add(job("j-1"))
        await jobs.add(job("j-2"))
        [reserved] = await jobs.reserve(1, worker="a", seconds=_LONG)
        assert (reserved.status, reserved.occurrence) == (JobStatus.PENDING, _LONG_AGO)
        assert [each.job_id for each in await jobs.reserve(5, worker="b", seconds=0)] == ["j-2"]
        [again] = await jobs.reserve(5, worker="c", seconds=_LONG)  # that one had run out at once
        assert await _claim(jobs) == []
        with pytest.raises(JobLeaseLostError):
            await jobs.claim_one("j-2", worker="b", lease=_LONG, epoch=again.epoch - 1)
        claimed = await jobs.claim_one("j-2", worker="c", lease=_LONG, epoch=again.epoch)
        assert claimed.attempts == 1

    async def test_the_time_until_the_next_job_is_known(self, jobs: Jobs) -> None:
        assert await jobs.next_due_in(["default"]) is None
        await jobs.add(job("j-1", due_at=_FAR))
        seconds = await jobs.next_due_in(["default"])
        assert seconds is not None
        assert seconds > _LONG
        assert await jobs.next_due_in(["mail"]) is None
        await jobs.add(job("j-2"))
        assert await jobs.next_due_in(["default", "mail"]) == 0

    # -- settling -------------------------------------------------------------------------------

    async def test_a_completed_job_keeps_its_result(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1"))
        [claimed] = await _claim(jobs)
        assert await jobs.settle_all([_done(claimed, result_data=b'{"n": 1}')]) == set()
        found = await jobs.find("j-1")
        assert found is not None
        assert (found.status, found.result) == (JobStatus.COMPLETED, {"n": 1})
        assert found.finished_at is not None
        assert found.lease_until is None

    async def test_a_failed_attempt_is_due_again_after_its_delay(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1"))
        await jobs.add(job("j-2"))
        first, second = await _claim(jobs)
        await jobs.settle_all(
            [
                _done(first, JobStatus.PENDING, error="E: 1", due_in=_LONG),
                _done(second, JobStatus.PENDING, error="E: 2"),
            ]
        )
        [again] = await _claim(jobs)
        assert (again.job_id, again.attempts, again.error) == ("j-2", 2, "E: 2")
        waiting = await jobs.find("j-1")
        assert waiting is not None
        assert (waiting.status, waiting.error) == (JobStatus.PENDING, "E: 1")
        assert waiting.occurrence == _LONG_AGO
        assert waiting.due_at > datetime.now(UTC) or waiting.due_at > _LONG_AGO

    async def test_a_next_occurrence_is_due_at_its_time(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1", key="k", recurrence=Recurrence(cron="0 8 * * *")))
        [claimed] = await _claim(jobs)
        await jobs.settle(_done(claimed, JobStatus.PENDING, due_at=_FAR, attempts=0))
        found = await jobs.find_by_key("k")
        assert found is not None
        assert (found.due_at, found.occurrence, found.attempts) == (_FAR, _FAR, 0)
        assert found.status is JobStatus.PENDING

    async def test_an_ended_claim_settles_nothing(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1", max_attempts=9))
        [first] = await _claim(jobs, lease=0.0)
        await jobs.sweep(retry_in=0.0)
        [second] = await _claim(jobs)
        assert second.epoch > first.epoch
        assert await jobs.settle_all([_done(first)]) == {"j-1"}
        with pytest.raises(JobLeaseLostError) as caught:
            await jobs.settle(_done(first))
        assert (caught.value.job_id, caught.value.epoch) == ("j-1", first.epoch)
        assert await jobs.settle_all([_done(second), _done(first)]) == {"j-1"}
        assert await _status(jobs, "j-1") is JobStatus.COMPLETED
        with pytest.raises(JobLeaseLostError):
            await jobs.settle(_done(second))

    async def test_an_effect_and_its_settlement_commit_together(
        self, jobs: Jobs, uow_factory: UowFactory
    ) -> None:
        await jobs.add(job("j-1"))
        [claimed] = await _claim(jobs)
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1"))
                await jobs.settle(_done(claimed), uow)
                raise _Oops
        assert await _status(jobs, "j-1") is JobStatus.RUNNING
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            await jobs.settle(_done(claimed))
        assert await _status(jobs, "j-1") is JobStatus.COMPLETED
        assert await version_of(uow_factory, "o-1") == 1

    async def test_an_ended_claim_undoes_the_effect_it_comes_with(
        self, jobs: Jobs, uow_factory: UowFactory
    ) -> None:
        await jobs.add(job("j-1", max_attempts=9))
        [first] = await _claim(jobs, lease=0.0)
        await jobs.sweep(retry_in=0.0)
        await _claim(jobs)
        with pytest.raises(JobLeaseLostError):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1"))
                await jobs.settle(_done(first), uow)
        assert await version_of(uow_factory, "o-1") is None

    async def test_a_cancelled_job_undoes_the_effect_it_comes_with(
        self, jobs: Jobs, uow_factory: UowFactory
    ) -> None:
        await jobs.add(job("j-1"))
        [claimed] = await _claim(jobs)
        assert await jobs.cancel("j-1") is JobStatus.RUNNING
        with pytest.raises(JobCancelledError):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1"))
                await jobs.settle(_done(claimed), uow)
        assert await version_of(uow_factory, "o-1") is None

    # -- leases ---------------------------------------------------------------------------------

    async def test_a_heartbeat_renews_a_claim_and_tells_progress(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1"))
        await jobs.add(job("j-2"))
        first, second = await _claim(jobs, lease=0.0)
        beat = Heartbeat(
            job_id=first.job_id, epoch=first.epoch, progress=0.25, progress_note="1 of 4"
        )
        assert await jobs.heartbeat([beat], lease=_LONG) == {first.job_id: False}
        assert [each.job_id for each in await jobs.sweep(retry_in=_LONG)] == [second.job_id]
        found = await jobs.find(first.job_id)
        assert found is not None
        assert (found.progress, found.progress_note) == (0.25, "1 of 4")

    async def test_a_heartbeat_hears_of_cancellation_and_of_loss(self, jobs: Jobs) -> None:
        for job_id in ("j-1", "j-2", "j-3"):
            await jobs.add(job(job_id))
        claimed = await _claim(jobs)
        beats = [Heartbeat(job_id=each.job_id, epoch=each.epoch) for each in claimed]
        await jobs.cancel("j-2")
        await jobs.settle(_done(claimed[2]))
        assert await jobs.heartbeat(beats, lease=_LONG) == {"j-1": False, "j-2": True}

    async def test_a_lease_that_ran_out_gives_the_job_another_attempt(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1", max_attempts=2))
        [claimed] = await _claim(jobs, lease=0.0)
        assert await jobs.sweep(retry_in=0.0) == [claimed]
        assert await jobs.sweep(retry_in=0.0) == []
        [again] = await _claim(jobs, lease=0.0)
        assert again.attempts == 2
        assert again.error is not None
        await jobs.sweep(retry_in=0.0)
        assert await _status(jobs, "j-1") is JobStatus.FAILED

    async def test_what_recurs_comes_again_however_often_its_worker_died(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1", recurrence=Recurrence(cron="0 8 * * *")))
        for _ in range(3):
            await _claim(jobs, lease=0.0)
            await jobs.sweep(retry_in=0.0)
        assert await _status(jobs, "j-1") is JobStatus.PENDING

    async def test_what_was_to_be_cancelled_is_when_its_worker_died(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1", key="k", max_attempts=5))
        await _claim(jobs, lease=0.0)
        await jobs.cancel("j-1")
        await jobs.sweep(retry_in=0.0)
        assert await _status(jobs, "j-1") is JobStatus.CANCELLED
        await jobs.add(job("j-2", key="k"))

    # -- cancelling, moving, retrying -----------------------------------------------------------

    async def test_a_cancelled_job_is_never_claimed(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1", key="k"))
        assert await jobs.cancel("j-1") is JobStatus.PENDING
        assert await jobs.cancel("j-1") is JobStatus.CANCELLED
        assert await _claim(jobs) == []
        assert await jobs.find_by_key("k") is None

    async def test_a_settled_job_is_not_cancelled_any_more(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1"))
        [claimed] = await _claim(jobs)
        await jobs.settle(_done(claimed))
        assert await jobs.cancel("j-1") is JobStatus.COMPLETED
        assert await jobs.retry("j-1") is JobStatus.COMPLETED
        assert await jobs.reschedule("j-1", _FAR) is JobStatus.COMPLETED
        assert await _status(jobs, "j-1") is JobStatus.COMPLETED

    async def test_a_cancellation_is_undone_with_its_unit_of_work(
        self, jobs: Jobs, uow_factory: UowFactory
    ) -> None:
        await jobs.add(job("j-1"))
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                await jobs.cancel("j-1", uow)
                raise _Oops
        assert len(await _claim(jobs)) == 1

    async def test_a_moved_job_is_due_at_its_new_time(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1"))
        assert await jobs.reschedule("j-1", _FAR) is JobStatus.PENDING
        assert await _claim(jobs) == []
        await jobs.reschedule("j-1", _LONG_AGO)
        [claimed] = await _claim(jobs)
        assert claimed.occurrence == _LONG_AGO

    async def test_a_failed_job_can_be_retried_from_the_start(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1", key="k"))
        [claimed] = await _claim(jobs)
        await jobs.settle_all([_done(claimed, JobStatus.FAILED, error="E: 1")])
        assert await jobs.find_by_key("k") is None
        assert await jobs.retry("j-1") is JobStatus.FAILED
        assert await jobs.find_by_key("k") is not None
        [again] = await _claim(jobs)
        assert (again.attempts, again.epoch > claimed.epoch) == (1, True)

    async def test_a_job_whose_key_is_taken_cannot_be_retried(self, jobs: Jobs) -> None:
        await jobs.add(job("j-1", key="k"))
        await jobs.cancel("j-1")
        await jobs.add(job("j-2", key="k"))
        with pytest.raises(JobKeyTakenError):
            await jobs.retry("j-1")
        assert await _status(jobs, "j-1") is JobStatus.CANCELLED

    # -- looking after them ---------------------------------------------------------------------

    async def test_jobs_are_listed_by_status_queue_and_type(self, jobs: Jobs) -> None:
        await jobs.add(job("j-3", due_at=_FAR))
        await jobs.add(job("j-1"))
        await jobs.add(job("j-2", queue="mail", job_type="u", due_at=_LONG_AGO + timedelta(1)))
        await jobs.add(job("j-0", due_at=_LONG_AGO - timedelta(1)))
        await jobs.cancel("j-0")
        everything = await jobs.list_jobs()
        assert [each.job_id for each in everything] == ["j-1", "j-2", "j-3", "j-0"]
        assert await jobs.list_jobs(limit=2, offset=1) == everything[1:3]
        assert [each.job_id for each in await jobs.list_jobs(queue="mail")] == ["j-2"]
        assert [each.job_id for each in await jobs.list_jobs(job_type="u")] == ["j-2"]
        assert [each.job_id for each in await jobs.list_jobs([JobStatus.CANCELLED])] == ["j-0"]
        assert await jobs.list_jobs([JobStatus.RUNNING]) == []

    async def test_statistics_count_them(self, jobs: Jobs) -> None:
        empty = await jobs.statistics()
        assert (empty.pending, empty.due, empty.oldest_due_age) == (0, 0, None)
        for number in range(6):
            await jobs.add(job(f"j-{number}", priority=-number))
        await jobs.add(job("later", due_at=_FAR, queue="mail"))
        claimed = await _claim(jobs, 4)
        await jobs.cancel("j-5")
        await jobs.settle_all(
            [
                _done(claimed[0]),
                _done(claimed[1], JobStatus.FAILED, error="E"),
                _done(claimed[2], JobStatus.PENDING, error="E", due_in=_LONG),
            ]
        )
        counts = await jobs.statistics()
        assert (counts.pending, counts.running, counts.completed) == (3, 1, 1)
        assert (counts.failed, counts.cancelled) == (1, 1)
        assert (counts.due, counts.retrying) == (1, 1)
        assert counts.oldest_due_age is not None
        assert counts.queues == {"default": 3, "mail": 1}

    async def test_finished_jobs_are_forgotten_by_age(self, jobs: Jobs) -> None:
        for number in range(3):
            await jobs.add(job(f"j-{number}"))
        await jobs.add(job("waits", due_at=_FAR))
        claimed = await _claim(jobs)
        await jobs.settle_all([_done(each) for each in claimed])
        assert await jobs.purge(timedelta(days=1)) == 0
        assert await jobs.purge(timedelta(seconds=-1), limit=2) == 2
        assert await jobs.purge(timedelta(seconds=-1)) == 1
        assert [each.job_id for each in await jobs.list_jobs()] == ["waits"]
