"""That greenlets which are used again keep nothing of what they did before."""

import asyncio
import gc
import threading
from contextvars import ContextVar
from typing import Any
from weakref import ref

import pytest
from sqlalchemy.util import await_only

from cqrs_ddd_persistence_sqlalchemy.greenlets import in_greenlet

_name: ContextVar[str] = ContextVar("_name", default="nobody")


class Thing:
    """What can be seen to go."""


async def _later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def test_work_may_wait_for_the_event_loop() -> None:
    def work(first: int, second: int) -> int:
        return await_only(_later(first)) + await_only(_later(second))

    assert await in_greenlet(work, 1, 2) == 3


async def test_work_may_wait_inside_work() -> None:
    def inner() -> int:
        return await_only(_later(1))

    def outer() -> int:
        return await_only(in_greenlet(inner)) + await_only(_later(1))

    assert await in_greenlet(outer) == 2


async def test_many_wait_at_once() -> None:
    def work(number: int) -> int:
        return await_only(_later(number)) + await_only(_later(0))

    found = await asyncio.gather(*(in_greenlet(work, number) for number in range(300)))
    assert found == list(range(300))


async def test_an_error_comes_out_and_the_next_work_is_not_touched() -> None:
    def fail() -> None:
        await_only(_later(None))
        raise KeyError("x")

    for _ in range(3):
        with pytest.raises(KeyError):
            await in_greenlet(fail)
        assert await in_greenlet(lambda: await_only(_later(5))) == 5


async def test_what_is_awaited_may_fail_and_the_work_may_go_on() -> None:
    async def failing() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    def work() -> str:
        try:
            await_only(failing())
        except KeyError:
            return await_only(_later("went on"))
        return "did not fail"

    assert await in_greenlet(work) == "went on"


async def test_who_is_cancelled_tells_the_work() -> None:
    begun, seen = asyncio.Event(), list[str]()

    async def never() -> None:
        begun.set()
        await asyncio.Event().wait()

    def work() -> None:
        try:
            await_only(never())
        except asyncio.CancelledError:
            seen.append(await_only(_later("cleaned up")))
            raise

    running = asyncio.create_task(in_greenlet(work))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert seen == ["cleaned up"]
    assert await in_greenlet(lambda: await_only(_later(5))) == 5


async def test_each_work_sees_the_context_of_its_task() -> None:
    async def task(name: str) -> tuple[str, str]:
        _name.set(name)

        def work() -> tuple[str, str]:
            before = _name.get()
            await_only(_later(None))
            return before, _name.get()

        return await in_greenlet(work)

    for _ in range(2):
        found = await asyncio.gather(*(asyncio.create_task(task(name)) for name in "abc"))
        assert found == [(name, name) for name in "abc"]
    assert await in_greenlet(_name.get) == "nobody"


async def test_nothing_of_the_work_is_kept() -> None:
    def work(thing: Thing) -> Thing:
        await_only(_later(thing))
        return thing

    async def used(*, fails: bool) -> "ref[Thing]":
        thing = Thing()
        if fails:
            with pytest.raises(TypeError):
                await in_greenlet(work, thing, thing)
        else:
            assert await in_greenlet(work, thing) is thing
        return ref(thing)

    for fails in (False, True):
        kept = await used(fails=fails)
        gc.collect()
        assert kept() is None


def test_each_thread_has_greenlets_of_its_own() -> None:
    found: list[int] = []

    async def work(number: int) -> None:
        found.append(await in_greenlet(lambda: await_only(_later(number))))

    asyncio.run(work(0))

    def run(number: int) -> None:
        asyncio.run(work(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    asyncio.run(work(3))
    assert sorted(found) == [0, 1, 2, 3]
