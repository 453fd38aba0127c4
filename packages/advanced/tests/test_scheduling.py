"""Scheduled commands, on a clock that the test owns."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from cqrs_ddd_advanced_core.background_jobs import (
    CatchUp,
    InMemoryBackgroundJobRepository,
    JobKeyTakenError,
    JobStatus,
)
from cqrs_ddd_advanced_core.scheduling import (
    AmbiguousCommandNameError,
    CommandScheduler,
    CommandSchedulerService,
    CommandSchedulerWorker,
    SchedulingError,
)
from cqrs_ddd_core import (
    Command,
    HandlerRegistry,
    InMemoryUnitOfWork,
    Mediator,
    use_clock,
)
from cqrs_ddd_core.runtime import Worker
from cqrs_ddd_core.testing import ManualClock, until

from .shop import UNPAID, CancelUnpaid, Pay, Place, Report, Shop, Tick, elsewhere

DAY = 86_400.0
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class _Oops(Exception):  # noqa: N818
    pass


@pytest.fixture(autouse=True)
def clock() -> Iterator[ManualClock]:
    clock = ManualClock(START)
    with use_clock(clock):
        yield clock


@pytest.fixture
def shop() -> Shop:
    return Shop()


class TestATimer:
    async def test_goes_off_when_its_time_has_come(self, shop: Shop, clock: ManualClock) -> None:
        await shop.mediator.send(Place(order_id="o-1"))
        clock.advance(UNPAID.total_seconds() - 1)
        assert await shop.service.process_due_commands() == 0
        clock.advance(1)
        assert await shop.service.process_due_commands() == 1
        assert await shop.status("o-1") == "cancelled"
        assert await shop.service.process_due_commands() == 0

    async def test_of_a_command_that_failed_never_was(self, shop: Shop, clock: ManualClock) -> None:
        shop.fail = [_Oops()]
        with pytest.raises(_Oops):
            await shop.mediator.send(Place(order_id="o-1"))
        assert await shop.scheduler.list_timers() == []

    async def test_is_cancelled_by_key_in_the_command_that_makes_it_needless(
        self, shop: Shop, clock: ManualClock
    ) -> None:
        await shop.mediator.send(Place(order_id="o-1"))
        assert (await shop.mediator.send(Pay(order_id="o-1"))).result
        clock.advance(UNPAID.total_seconds())
        assert await shop.service.process_due_commands() == 0
        assert await shop.status("o-1") == "paid"

    async def test_that_went_off_cannot_be_cancelled(self, shop: Shop, clock: ManualClock) -> None:
        await shop.mediator.send(Place(order_id="o-1"))
        clock.advance(UNPAID.total_seconds())
        await shop.service.process_due_commands()
        assert not await shop.scheduler.cancel("unpaid/o-1")
        assert not await shop.scheduler.cancel("never was")

    async def test_is_replaced_under_its_key(self, shop: Shop, clock: ManualClock) -> None:
        first = await shop.scheduler.schedule(Report(name="a"), START, key="k")
        second = await shop.scheduler.schedule(Report(name="b"), START, key="k")
        assert first != second
        assert await shop.service.process_due_commands() == 1
        assert [report.name for report in shop.reports] == ["b"]

    async def test_is_moved_by_key_or_id(self, shop: Shop, clock: ManualClock) -> None:
        timer = await shop.scheduler.schedule(Report(name="a"), after=timedelta(hours=1), key="k")
        assert await shop.scheduler.reschedule("k", after=timedelta(hours=3))
        clock.advance(2 * 3600)
        assert await shop.service.process_due_commands() == 0
        assert await shop.scheduler.reschedule(timer, START)
        assert await shop.service.process_due_commands() == 1
        assert not await shop.scheduler.reschedule(timer, START)
        assert not await shop.scheduler.reschedule("never was", START)

    async def test_keeps_the_conversation_and_the_id_of_its_command(
        self, shop: Shop, clock: ManualClock
    ) -> None:
        command = Report(name="a", correlation_id="request-7")
        await shop.scheduler.schedule(command, START)
        await shop.service.process_due_commands()
        assert shop.reports == [command]

    async def test_reads_a_time_without_zone_as_utc(self, shop: Shop, clock: ManualClock) -> None:
        await shop.scheduler.schedule(Report(name="a"), START.replace(tzinfo=None))
        [timer] = await shop.scheduler.list_timers()
        assert timer.due_at == START

    @pytest.mark.parametrize("when", [{}, {"at": START, "after": timedelta(1)}])
    async def test_has_one_time(self, shop: Shop, when: dict[str, datetime]) -> None:
        with pytest.raises(SchedulingError, match="either"):
            await shop.scheduler.schedule(Report(name="a"), **when)  # pyright: ignore[reportArgumentType]

    @pytest.mark.parametrize("key", ["", "k" * 256])
    async def test_has_a_key_that_fits(self, shop: Shop, key: str) -> None:
        with pytest.raises(SchedulingError, match="255"):
            await shop.scheduler.schedule(Report(name="a"), START, key=key)

    async def test_whose_command_failed_is_tried_again_and_given_up(
        self, shop: Shop, clock: ManualClock
    ) -> None:
        timer = await shop.scheduler.schedule(Report(name="a"), START, max_attempts=2)
        for _ in range(3):
            shop.fail = [_Oops("not today")]
            await shop.service.process_due_commands()
            clock.advance(600)
        assert len(shop.reports) == 2
        found = await shop.repository.find(timer)
        assert found is not None
        assert (found.status, found.error) == (JobStatus.FAILED, "_Oops: not today")

    async def test_undoes_its_command_when_it_is_cancelled_meanwhile(
        self, shop: Shop, clock: ManualClock
    ) -> None:
        await shop.mediator.send(Place(order_id="o-1"))
        clock.advance(UNPAID.total_seconds())
        [timer] = await shop.scheduler.list_timers()
        fired = shop.cancel_unpaid

        async def slow(command: CancelUnpaid) -> None:
            await fired(command)
            await elsewhere(_cancel(shop, timer.job_id))

        registry = shop.mediator.registry
        del registry.commands[CancelUnpaid]
        registry.register_command_handler(CancelUnpaid, slow)
        await shop.service.process_due_commands()
        assert await shop.status("o-1") == "placed"
        found = await shop.repository.find(timer.job_id)
        assert found is not None
        assert found.status is JobStatus.CANCELLED

    async def test_may_schedule_itself_anew_under_its_own_key(
        self, shop: Shop, clock: ManualClock
    ) -> None:
        await shop.scheduler.schedule(Tick(left=2), START, key="tick")
        fired = 0
        for _ in range(5):
            fired += await shop.service.process_due_commands()
            clock.advance(1)
        assert fired == 3

    async def test_cannot_be_replaced_while_it_goes_off(
        self, shop: Shop, clock: ManualClock
    ) -> None:
        await shop.scheduler.schedule(Report(name="a"), START, key="k")
        await shop.repository.claim({"timers": 1}, worker="w", lease=60)
        with pytest.raises(JobKeyTakenError):
            await shop.scheduler.schedule(Report(name="b"), START, key="k")


async def _cancel(shop: Shop, job_id: str) -> None:
    await shop.repository.cancel(job_id)


class TestASchedule:
    async def test_comes_again_and_again(self, shop: Shop, clock: ManualClock) -> None:
        await shop.scheduler.schedule_cron(Report(name="daily"), "0 8 * * *", key="daily")
        for _ in range(3):
            clock.advance(DAY)
            assert await shop.service.process_due_commands() == 1
        assert len({report.command_id for report in shop.reports}) == 3
        [timer] = await shop.scheduler.list_timers()
        assert timer.due_at == datetime(2026, 1, 5, 8, tzinfo=UTC)

    async def test_is_the_same_command_in_every_attempt_at_an_occurrence(
        self, shop: Shop, clock: ManualClock
    ) -> None:
        await shop.scheduler.schedule_cron(Report(name="daily"), "0 8 * * *", key="daily")
        clock.advance(DAY)
        shop.fail = [_Oops()]
        await shop.service.process_due_commands()
        clock.advance(600)
        await shop.service.process_due_commands()
        first, second = shop.reports
        assert first.command_id == second.command_id

    async def test_declared_again_is_left_as_it_is(self, shop: Shop, clock: ManualClock) -> None:
        declared = [
            await shop.scheduler.schedule_cron(Report(name="daily"), "0 8 * * *", key="daily")
            for _ in range(2)
        ]
        assert declared[0] == declared[1]
        changed = await shop.scheduler.schedule_cron(Report(name="daily"), "0 9 * * *", key="daily")
        other = await shop.scheduler.schedule_cron(Report(name="weekly"), "0 9 * * *", key="daily")
        assert len({*declared, changed, other}) == 3
        assert len(await shop.scheduler.list_timers()) == 1

    @pytest.mark.parametrize(
        ("catch_up", "sent"), [(CatchUp.ALL, 4), (CatchUp.LAST, 1), (CatchUp.NONE, 0)]
    )
    async def test_makes_up_for_downtime_as_its_policy_says(
        self, shop: Shop, clock: ManualClock, catch_up: CatchUp, sent: int
    ) -> None:
        await shop.scheduler.schedule_cron(
            Report(name="daily"), "0 8 * * *", key="daily", catch_up=catch_up
        )
        clock.advance(4 * DAY)
        await shop.service.process_due_commands()
        assert len(shop.reports) == sent
        clock.advance(20 * 3600)  # a little late for 8 o'clock: that is no downtime
        clock.advance(30)
        await shop.service.process_due_commands()
        assert len(shop.reports) == sent + 1
        [timer] = await shop.scheduler.list_timers()
        assert timer.due_at == datetime(2026, 1, 7, 8, tzinfo=UTC)

    async def test_goes_on_after_an_occurrence_that_was_given_up(
        self, shop: Shop, clock: ManualClock
    ) -> None:
        await shop.scheduler.schedule_cron(
            Report(name="daily"), "0 8 * * *", key="daily", max_attempts=1
        )
        clock.advance(DAY)
        shop.fail = [_Oops("not today")]
        await shop.service.process_due_commands()
        [timer] = await shop.scheduler.list_timers()
        assert (timer.error, timer.attempts) == ("_Oops: not today", 0)
        assert timer.due_at == datetime(2026, 1, 3, 8, tzinfo=UTC)

    async def test_declared_by_many_at_once_is_one(self, shop: Shop) -> None:
        async def declare() -> str:
            return await shop.scheduler.schedule_cron(Report(name="d"), "0 8 * * *", key="daily")

        assert len(set(await asyncio.gather(*(declare() for _ in range(5))))) == 1


class TestTheWorker:
    async def test_sleeps_until_the_next_timer_and_wakes_for_an_earlier_one(
        self, shop: Shop, clock: ManualClock
    ) -> None:
        async with Worker([CommandSchedulerWorker(shop.service, poll_interval=3600)]):
            await until(lambda: clock.alarms, timeout=30)
            await shop.scheduler.schedule(Report(name="a"), after=timedelta(seconds=10))
            await until(lambda: any(alarm < 11 and alarm > 5 for alarm in clock.alarms), timeout=30)
            clock.advance(10.1)
            await until(lambda: shop.reports, timeout=30)
            await shop.scheduler.schedule(Report(name="b"), START)
            await until(lambda: len(shop.reports) == 2, timeout=30)

    async def test_leaves_commands_without_a_handler_to_others(self, shop: Shop) -> None:
        class Elsewhere(Command[None]):
            pass

        await shop.scheduler.schedule(Elsewhere(), START)
        assert await shop.service.process_due_commands() == 0
        assert len(await shop.scheduler.list_timers()) == 1

    async def test_sends_first_and_settles_after_where_the_stores_differ(self) -> None:
        shop = Shop()
        service = CommandSchedulerService(shop.scheduler, shop.mediator, same_store=False)
        await shop.scheduler.schedule(Report(name="a"), START)
        assert await service.process_due_commands() == 1
        assert len(shop.reports) == 1
        assert await shop.scheduler.list_timers() == []


def test_two_commands_of_one_name_are_refused() -> None:
    class One(Command[None]):
        command_type: ClassVar[str] = "same"

    class Two(Command[None]):
        command_type: ClassVar[str] = "same"

    async def handle_one(command: One) -> None: ...
    async def handle_two(command: Two) -> None: ...

    registry = HandlerRegistry()
    registry.register_command_handler(One, handle_one)
    registry.register_command_handler(Two, handle_two)
    service = CommandSchedulerService(
        CommandScheduler(InMemoryBackgroundJobRepository()), Mediator(registry, InMemoryUnitOfWork)
    )
    with pytest.raises(AmbiguousCommandNameError, match="command_type"):
        service.job_types()
