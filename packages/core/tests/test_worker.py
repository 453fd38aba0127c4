"""A worker starts its parts, runs failed ones again, tells how they are, and leaves nothing."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest

from cqrs_ddd_core import (
    ConfigurationError,
    HandlerRegistrationError,
    IWorkerPart,
    PartState,
    PartStatus,
    Periodic,
    RetryPolicy,
    Worker,
    WorkerGaveUpError,
    current_clock,
    use_clock,
)
from cqrs_ddd_core.testing import ManualClock, until

from .workers import Part, Run, ends_by_itself, fails_with, never_ends, wait

SLOWLY = RetryPolicy(max_attempts=1000, base_delay=1.0, max_delay=8.0)


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    clock = ManualClock()
    with use_clock(clock):
        yield clock


@pytest.fixture(autouse=True)
async def nothing_is_left_running() -> AsyncIterator[None]:
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}


def only(worker: Worker) -> PartStatus:
    (status,) = worker.status().parts
    return status


async def failed(worker: Worker, times: int) -> None:
    """Wait until a part has failed so often, and its worker waits to run it again."""
    await until(lambda: failures(worker) == times and is_waiting(worker))


def is_waiting(worker: Worker) -> bool:
    """Whether the worker sleeps by the test's clock: between two runs, and between two looks."""
    clock = current_clock()
    assert isinstance(clock, ManualClock)
    return only(worker).state is PartState.RESTARTING and len(clock.alarms) == 2


def failures(worker: Worker) -> int:
    status = only(worker)
    return status.restarts + (status.state is PartState.RESTARTING)


class TestRunning:
    async def test_the_parts_run_side_by_side_for_the_length_of_the_block(self) -> None:
        parts = [Part("relay"), Part("consumer")]
        async with Worker(parts) as worker:
            await until(lambda: all(part.runs for part in parts))
            assert [part.state for part in worker.status().parts] == [PartState.RUNNING] * 2
        assert [part.state for part in worker.status().parts] == [PartState.STOPPED] * 2
        assert [part.runs for part in parts] == [1, 1]

    async def test_a_part_finishes_what_is_under_way_before_the_block_ends(self) -> None:
        done: list[str] = []

        async def drain(stopping: asyncio.Event) -> None:
            await stopping.wait()
            await asyncio.sleep(0)
            done.append("settled")

        async with Worker([Part("relay", drain)]):
            pass
        assert done == []  # it was stopped before it ever ran
        part = Part("relay", drain)
        async with Worker([part]):
            await until(lambda: part.runs)
        assert done == ["settled"]

    async def test_it_can_be_started_and_stopped_again_and_again(self) -> None:
        part = Part("relay")
        worker = Worker([part])
        for round_ in (1, 2):
            await worker.start()
            await worker.start()
            await until(lambda expected=round_: part.runs == expected)
            await worker.stop()
            await worker.stop()
        assert only(worker).state is PartState.STOPPED

    async def test_an_error_of_the_block_passes_through_after_the_parts_have_drained(self) -> None:
        part = Part("relay")
        worker = Worker([part])

        async def application() -> None:
            async with worker:
                await until(lambda: part.runs)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await application()
        assert only(worker).state is PartState.STOPPED

    async def test_a_cancelled_block_drains_its_parts_first(self) -> None:
        part, drained = Part("relay"), asyncio.Event()

        async def drain(stopping: asyncio.Event) -> None:
            await stopping.wait()
            await asyncio.sleep(0)
            drained.set()

        part = Part("relay", drain)

        async def application() -> None:
            async with Worker([part]):
                await asyncio.Event().wait()

        running = asyncio.create_task(application())
        await until(lambda: part.runs)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert drained.is_set()

    @pytest.mark.parametrize(
        ("parts", "said"), [([], "nothing to do"), ([Part("a"), Part("b"), Part("a")], "'a'")]
    )
    def test_no_parts_or_two_of_one_name_are_refused(
        self, parts: list[IWorkerPart], said: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=said):
            Worker(parts)


class TestDraining:
    async def test_a_part_that_does_not_finish_in_time_is_cut_off(
        self, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        slow, quick = Part("slow", never_ends), Part("quick")
        worker = Worker([slow, quick], drain_timeout=30)
        await worker.start()
        await until(lambda: slow.runs and quick.runs)
        stopping = asyncio.create_task(worker.stop())
        await until(lambda: worker.status().parts[1].state is PartState.STOPPED)
        assert worker.status().parts[0].state is PartState.DRAINING
        assert not worker.status().healthy
        await until(lambda: clock.alarms == [30])
        clock.advance(29.5)
        await asyncio.sleep(0)
        assert not stopping.done()
        clock.advance(0.5)
        await stopping
        assert worker.status().parts[0].state is PartState.CUT_OFF
        assert "slow did not finish in time and is cut off" in caplog.text

    async def test_a_part_that_waits_to_be_run_again_ends_at_once(self, clock: ManualClock) -> None:
        worker = Worker([Part("relay", fails_with(OSError("down")))], restart=SLOWLY)
        async with worker:
            await failed(worker, times=1)
        assert only(worker).state is PartState.STOPPED

    async def test_a_failure_while_draining_is_told_and_does_not_start_the_part_again(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def fail_at_the_end(stopping: asyncio.Event) -> None:
            await stopping.wait()
            raise OSError("connection lost")

        part = Part("relay", fail_at_the_end)
        async with Worker([part]) as worker:
            await until(lambda: part.runs)
        assert (part.runs, only(worker).state) == (1, PartState.STOPPED)
        assert only(worker).last_error == "OSError: connection lost"
        assert "relay failed while it drained" in caplog.text


class TestRestarting:
    async def test_a_failed_part_is_run_again_and_the_status_says_why(
        self, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        part, healthy = Part("relay", fails_with(OSError("no\nroute")), wait), Part("consumer")
        worker = Worker([part, healthy], restart=SLOWLY)
        async with worker:
            await until(lambda: len(clock.alarms) == 2)
            assert worker.status().parts[0].state is PartState.RESTARTING
            assert not worker.status().healthy
            clock.advance(1)
            await until(lambda: part.runs == 2)
            status = worker.status().parts[0]
            assert not worker.status().healthy  # until it has got on
            part.progress.idle()
            assert worker.status().healthy
        assert (status.restarts, status.last_error) == (1, "OSError: no route")
        assert status.last_error_at is not None
        assert healthy.runs == 1
        (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert "relay failed (1 in a row) and is run again in" in record.getMessage()
        assert record.exc_info is not None

    async def test_the_delays_grow_and_never_exceed_the_longest(
        self, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(RetryPolicy, "delay", RetryPolicy.longest_delay)
        part = Part("relay", fails_with(OSError()))
        worker = Worker([part], restart=SLOWLY)
        async with worker:
            for number, delay in enumerate([1, 2, 4, 8, 8], start=1):
                await failed(worker, times=number)
                clock.advance(delay - 0.5)
                await asyncio.sleep(0)
                assert part.runs == number
                clock.advance(0.5)

    async def test_a_failure_after_a_long_run_is_the_first_of_a_new_row(
        self, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def fail_late(stopping: asyncio.Event) -> None:
            await clock.sleep(61)
            raise OSError

        part = Part("relay", fails_with(OSError()), fails_with(OSError()), fail_late)
        worker = Worker([part], restart=SLOWLY)
        async with worker:
            for number in (1, 2):
                await failed(worker, times=number)
                clock.advance(8)
            await until(lambda: part.runs == 3)
            await until(lambda: len(clock.alarms) == 2)
            clock.advance(61)
            await failed(worker, times=3)
        said = [record.getMessage()[:28] for record in caplog.records if record.levelname[0] == "E"]
        assert said == [f"relay failed ({number} in a row) an" for number in (1, 2, 1)]

    @pytest.mark.parametrize("run", [ends_by_itself, fails_with(asyncio.CancelledError())])
    async def test_a_part_that_ends_by_itself_is_run_again(
        self, clock: ManualClock, run: Run
    ) -> None:
        worker = Worker([Part("relay", run)], restart=SLOWLY)
        async with worker:
            await failed(worker, times=1)
            error = only(worker).last_error
        assert error is not None
        assert error.startswith("PartEndedError: relay ended by itself.")

    async def test_a_part_that_fails_too_often_ends_the_worker_once_the_others_have_drained(
        self, clock: ManualClock
    ) -> None:
        other = Part("consumer")
        policy = RetryPolicy(max_attempts=2, base_delay=0)
        worker = Worker([Part("relay", fails_with(OSError("down"))), other], restart=policy)
        with pytest.raises(WorkerGaveUpError, match=r"failed 2 times.*OSError: down") as failure:
            async with worker:
                await asyncio.Event().wait()
        assert (failure.value.part, failure.value.failures) == ("relay", 2)
        assert isinstance(failure.value.__cause__, OSError)
        assert [part.state for part in worker.status().parts] == [
            PartState.FAILED,
            PartState.STOPPED,
        ]


class TestMistakesInTheWiring:
    MISTAKES = [
        ConfigurationError("There is no queue 'orders'."),
        HandlerRegistrationError(["nobody handles PlaceOrder"]),
        ExceptionGroup("", [OSError(), ExceptionGroup("", [ConfigurationError("wrong")])]),
    ]

    @pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: type(mistake).__name__)
    async def test_they_end_the_block_instead_of_being_tried_again(
        self, mistake: Exception
    ) -> None:
        part, drained = Part("consumer", fails_with(mistake)), Part("relay")
        worker = Worker([part, drained])
        with pytest.raises(ConfigurationError):
            async with worker:
                await asyncio.Event().wait()
        assert part.runs == 1
        assert [part.state for part in worker.status().parts] == [
            PartState.FAILED,
            PartState.STOPPED,
        ]
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    async def test_the_block_learns_of_them_also_when_it_swallows_its_cancellation(self) -> None:
        worker = Worker([Part("consumer", fails_with(ConfigurationError("wrong")))])

        async def application() -> None:
            async with worker:
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()

        with pytest.raises(ConfigurationError, match="wrong"):
            await application()

    async def test_whoever_cancels_the_block_meanwhile_is_obeyed(self) -> None:
        cancelled = asyncio.Event()

        async def slow_to_stop(stopping: asyncio.Event) -> None:
            await cancelled.wait()

        parts = [Part("consumer", fails_with(ConfigurationError("wrong"))), Part("b", slow_to_stop)]
        worker = Worker(parts)

        async def application() -> None:
            async with worker:
                await asyncio.Event().wait()

        running = asyncio.create_task(application())
        await until(lambda: worker.status().parts[0].state is PartState.FAILED)
        running.cancel()
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await running

    async def test_stop_tells_of_them_when_the_worker_was_started_without_a_block(self) -> None:
        worker = Worker([Part("consumer", fails_with(ConfigurationError("wrong")))])
        await worker.start()
        await until(lambda: only(worker).state is PartState.FAILED)
        with pytest.raises(ConfigurationError, match="wrong"):
            await worker.stop()

    async def test_an_error_of_the_block_goes_before_them(self) -> None:
        worker = Worker([Part("consumer", fails_with(ConfigurationError("wrong")))])

        async def application() -> None:
            async with worker:
                try:
                    await asyncio.Event().wait()
                finally:
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await application()


class TestHealth:
    async def test_a_part_tells_its_progress_and_its_lag(self, clock: ManualClock) -> None:
        part = Part("relay")
        async with Worker([part]) as worker:
            await until(lambda: part.runs)
            assert only(worker).last_progress_at is None
            clock.advance(3)
            part.progress.busy(lag=500, lag_seconds=2.5)
            status = only(worker)
            assert (status.last_progress_at, status.lag) == (clock.now(), 500)
            assert (status.lag_seconds, status.idle) == (2.5, False)
            part.progress.idle()
            assert (only(worker).lag, only(worker).idle) == (0, True)

    async def test_a_part_that_is_busy_and_makes_no_progress_is_seen(
        self, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        part = Part("relay", stall_after=60)
        caplog.set_level(logging.INFO)
        async with Worker([part]) as worker:
            await until(lambda: part.runs)
            part.progress.busy()
            clock.advance(60)
            assert worker.status().healthy
            await until(lambda: clock.alarms == [65])
            clock.advance(5)
            assert only(worker).stalled_for == 65
            assert not worker.status().healthy
            await until(lambda: "relay has made no progress for 65 s" in caplog.text)
            part.progress.busy()
            assert worker.status().healthy
            await until(lambda: clock.alarms == [70])
            clock.advance(5)
            await until(lambda: "relay makes progress again" in caplog.text)

    async def test_a_part_that_waits_for_work_is_never_stalled(self, clock: ManualClock) -> None:
        part = Part("consumer")
        async with Worker([part]) as worker:
            await until(lambda: part.runs)
            part.progress.idle()
            clock.advance(1_000_000)
            assert worker.status().healthy

    async def test_a_part_that_hangs_as_soon_as_it_wakes_is_seen(self, clock: ManualClock) -> None:
        part = Part("relay")
        async with Worker([part]) as worker:
            await until(lambda: part.runs)
            part.progress.idle()
            clock.advance(1000)
            part.progress.wakes()
            clock.advance(61)
            part.progress.wakes()  # again, without a step in between
            status = only(worker)
            assert (status.stalled_for, status.idle) == (61, False)

    async def test_to_wake_does_not_end_trouble(self, clock: ManualClock) -> None:
        part = Part("relay")
        async with Worker([part]) as worker:
            await until(lambda: part.runs)
            part.progress.trouble(OSError())
            part.progress.wakes()
            assert only(worker).in_trouble

    async def test_a_part_that_hangs_while_it_starts_is_seen_too(self, clock: ManualClock) -> None:
        part = Part("consumer", never_ends)
        worker = Worker([part], drain_timeout=0)
        async with worker:
            await until(lambda: part.runs)
            clock.advance(61)
            assert only(worker).stalled_for == 61

    async def test_a_part_that_tries_again_by_itself_is_seen_until_it_gets_on(
        self, clock: ManualClock
    ) -> None:
        part = Part("relay")
        async with Worker([part]) as worker:
            await until(lambda: part.runs)
            part.progress.idle()
            part.progress.trouble(ConnectionError("broker is away"))
            status = only(worker)
            assert (status.state, status.in_trouble) == (PartState.RUNNING, True)
            assert status.last_error == "ConnectionError: broker is away"
            assert not worker.status().healthy
            part.progress.busy()
            assert worker.status().healthy

    async def test_a_worker_that_does_not_run_is_not_healthy(self) -> None:
        assert not Worker([Part("relay")]).status().healthy

    async def test_the_status_is_data_that_json_can_hold(self, clock: ManualClock) -> None:
        part = Part("relay", fails_with(OSError("down")), wait)
        async with Worker([part], restart=SLOWLY) as worker:
            await failed(worker, times=1)
            clock.advance(1)
            await until(lambda: part.runs == 2)
            part.progress.busy(lag=3)
            data = json.loads(json.dumps(worker.status().to_dict()))
        assert data == {
            "healthy": True,
            "parts": [
                {
                    "name": "relay",
                    "state": "running",
                    "idle": False,
                    "stalled_for": None,
                    "last_progress_at": "2026-01-01T00:00:01+00:00",
                    "lag": 3,
                    "lag_seconds": None,
                    "restarts": 1,
                    "in_trouble": False,
                    "last_error": "OSError: down",
                    "last_error_at": "2026-01-01T00:00:00+00:00",
                    "healthy": True,
                }
            ],
        }


class TestPeriodic:
    async def test_it_acts_at_once_and_then_again_each_time(self, clock: ManualClock) -> None:
        acted: list[float] = []

        async def act() -> None:
            acted.append(clock.monotonic())

        part = Periodic("retention", act, every=3600)
        async with Worker([part]) as worker:
            for number in (1, 2, 3):
                await until(
                    lambda expected=number: len(acted) == expected and len(clock.alarms) == 2
                )
                assert only(worker).idle
                clock.advance(3600)
        assert acted[:3] == [0, 3600, 7200]

    async def test_it_is_part_of_the_same_rules_when_its_action_fails(
        self, clock: ManualClock
    ) -> None:
        async def act() -> None:
            raise OSError("down")

        worker = Worker([Periodic("retention", act, every=3600)], restart=SLOWLY)
        async with worker:
            await failed(worker, times=1)
            assert only(worker).last_error == "OSError: down"

    @pytest.mark.parametrize("every", [0, -1.5])
    def test_an_interval_must_be_above_zero(self, every: float) -> None:
        with pytest.raises(ConfigurationError, match="more than 0"):
            Periodic("retention", asyncio.Event().wait, every=every)
