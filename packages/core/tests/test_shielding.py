"""What must not be left half done is finished, also when its task is cancelled."""

import asyncio

import pytest

from cqrs_ddd_core.cqrs.shielding import shielded


class Work:
    def __init__(self) -> None:
        self.started, self.may_finish = asyncio.Event(), asyncio.Event()
        self.finished = False

    async def run(self, error: BaseException | None = None) -> str:
        self.started.set()
        await self.may_finish.wait()
        self.finished = True
        if error is not None:
            raise error
        return "done"


async def test_the_result_comes_back() -> None:
    work = Work()
    work.may_finish.set()
    assert await shielded(work.run()) == "done"


async def test_an_error_comes_back_as_it_is() -> None:
    work = Work()
    work.may_finish.set()
    with pytest.raises(LookupError, match="broken"):
        await shielded(work.run(LookupError("broken")))


@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancellation_waits_until_the_work_is_finished(times: int) -> None:
    work = Work()
    task = asyncio.create_task(shielded(work.run()))
    await work.started.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    work.may_finish.set()
    await asyncio.wait([task])
    assert (task.cancelled(), work.finished) == (True, True)


async def test_a_cancellation_wins_over_an_error_of_the_work() -> None:
    work = Work()
    task = asyncio.create_task(shielded(work.run(LookupError("broken"))))
    await work.started.wait()
    task.cancel()
    await asyncio.sleep(0)
    work.may_finish.set()
    await asyncio.wait([task])
    assert (task.cancelled(), work.finished) == (True, True)


async def test_work_that_cancels_itself_is_a_cancellation() -> None:
    work = Work()
    work.may_finish.set()
    with pytest.raises(asyncio.CancelledError):
        await shielded(work.run(asyncio.CancelledError()))
