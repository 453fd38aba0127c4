"""Whatever workers, people and time do: a job has one holder, and ends once."""
# A state machine of Hypothesis, against a model of what may happen.

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cqrs_ddd_advanced_core.background_jobs import (
    Heartbeat,
    InMemoryBackgroundJobRepository,
    Job,
    JobKeyTakenError,
    JobSettlement,
    JobStatus,
)
from cqrs_ddd_core import use_clock
from cqrs_ddd_core.testing import ManualClock

T = TypeVar("T")
LEGAL = {
    JobStatus.PENDING: {JobStatus.RUNNING, JobStatus.CANCELLED},
    JobStatus.RUNNING: set(JobStatus) - {JobStatus.RUNNING},
    JobStatus.FAILED: {JobStatus.PENDING},
    JobStatus.CANCELLED: {JobStatus.PENDING},
    JobStatus.COMPLETED: set[JobStatus](),
}
ENDS = st.sampled_from([JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.PENDING])
ANY = st.integers(0, 99)


class JobLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.jobs = InMemoryBackgroundJobRepository()
        self.known: dict[str, Job] = {}
        self.claims: list[Job] = []  # every claim that ever was, ended ones as well

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        with use_clock(self.clock):
            return asyncio.run(work)

    def some(self, number: int) -> Job | None:
        jobs = list(self.known.values())
        return jobs[number % len(jobs)] if jobs else None

    @rule(key=st.sampled_from([None, "a", "b"]), attempts=st.integers(1, 3), wait=st.integers(0, 2))
    def add(self, key: str | None, attempts: int, wait: int) -> None:
        now = self.clock.now()
        job = Job(
            job_id=f"j-{len(self.known)}",
            job_type="t",
            key=key,
            max_attempts=attempts,
            created_at=now,
            due_at=now + timedelta(seconds=wait),
        )
        taken = any(j.key == key and not j.status.is_final for j in self.known.values())
        try:
            self.do(self.jobs.add(job))
        except JobKeyTakenError:
            assert key is not None
            assert taken
        else:
            assert key is None or not taken
            self.known[job.job_id] = job

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        claimed = self.do(self.jobs.claim({"default": limit}, worker="w", lease=10))
        for job in claimed:
            before = self.known[job.job_id]
            assert before.status is JobStatus.PENDING
            assert before.due_at <= self.clock.now()
            assert job.epoch > before.epoch
        due = [
            job
            for job in self.known.values()
            if job.status is JobStatus.PENDING and job.due_at <= self.clock.now()
        ]
        assert len(claimed) == min(limit, len(due))
        self.claims.extend(claimed)

    @rule(number=ANY, end=ENDS)
    def settle(self, number: int, end: JobStatus) -> None:
        if not self.claims:
            return
        claim = self.claims[number % len(self.claims)]
        now = self.known[claim.job_id]
        holds = now.status is JobStatus.RUNNING and now.epoch == claim.epoch
        settlement = JobSettlement(job_id=claim.job_id, epoch=claim.epoch, status=end)
        lost = self.do(self.jobs.settle_all([settlement]))
        assert lost == (set() if holds else {claim.job_id})

    @rule(number=ANY)
    def beat(self, number: int) -> None:
        if not self.claims:
            return
        claim = self.claims[number % len(self.claims)]
        now = self.known[claim.job_id]
        beat = Heartbeat(job_id=claim.job_id, epoch=claim.epoch)
        held = self.do(self.jobs.heartbeat([beat], lease=10))
        holds = now.status is JobStatus.RUNNING and now.epoch == claim.epoch
        assert held == ({claim.job_id: now.cancel_requested} if holds else {})

    @rule(number=ANY)
    def cancel(self, number: int) -> None:
        if (job := self.some(number)) is not None:
            assert self.do(self.jobs.cancel(job.job_id)) is job.status

    @rule(number=ANY)
    def retry(self, number: int) -> None:
        if (job := self.some(number)) is not None:
            try:
                assert self.do(self.jobs.retry(job.job_id)) is job.status
            except JobKeyTakenError:
                assert job.key is not None

    @rule(seconds=st.sampled_from([1, 5, 11]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        freed = self.do(self.jobs.sweep(retry_in=0))
        for job in freed:
            assert job.lease_until is not None
            assert job.lease_until <= self.clock.now()

    @invariant()
    def every_step_is_legal(self) -> None:
        for job_id, before in self.known.items():
            now = self.do(self.jobs.find(job_id))
            assert now is not None
            assert now.status is before.status or now.status in LEGAL[before.status]
            assert now.epoch >= before.epoch
            assert now.attempts <= now.max_attempts or now.status is not JobStatus.PENDING
            assert (now.finished_at is not None) == now.status.is_final
            assert (now.lease_until is not None) == (now.status is JobStatus.RUNNING)
            self.known[job_id] = now

    @invariant()
    def a_key_has_one_unfinished_job(self) -> None:
        keys = [job.key for job in self.known.values() if job.key and not job.status.is_final]
        assert len(keys) == len(set(keys))


JobLife.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestJobLife = JobLife.TestCase
