"""What every lock promises: one writer at a time, first come first served, no wake-up lost."""
# ruff: noqa: D102, PLR2004 - test names are sentences; what holds a lock is one step

import asyncio
import inspect
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cqrs_ddd_core.cqrs.concurrency import CriticalSection
from cqrs_ddd_core.ports.lock_strategy import ILease, ILockStrategy
from cqrs_ddd_core.primitives.locking import LockAcquisitionError, ResourceIdentifier
from cqrs_ddd_core.testing.until import until

ORDER_1 = ResourceIdentifier("Order", "o-1")
ORDER_2 = ResourceIdentifier("Order", "o-2")
READ_1 = ResourceIdentifier("Order", "o-1", "read")
READ_2 = ResourceIdentifier("Order", "o-2", "read")
_SHORT = 0.05
_LEASE = 0.3  # to be waited for until it ends
_LONG_LEASE = 0.75  # in which a test has something to do


class LockStrategyConformance:
    """Subclass, provide the fixture ``locks``, done.

    Nobody else uses the locks of a test, and none is held when it begins. To know that somebody
    waits, the suite calls ``locks.waiting(resource)``, a number; where your locks have no such
    method, override ``waiting`` here.
    """

    async def waiting(self, locks: ILockStrategy, resource: ResourceIdentifier) -> int:
        """Return how many wait for ``resource``."""
        counter: Any = locks
        found = counter.waiting(resource)
        return await found if inspect.isawaitable(found) else found

    async def test_it_implements_the_port(self, locks: ILockStrategy) -> None:
        assert isinstance(locks, ILockStrategy)
        lease = await locks.acquire(ORDER_1)
        assert isinstance(lease, ILease)
        assert lease.resource == ORDER_1
        await lease.release()

    async def test_it_is_healthy(self, locks: ILockStrategy) -> None:
        assert await locks.health_check() is True

    # -- one at a time -------------------------------------------------------------------------

    async def test_a_held_lock_is_not_granted_again(self, locks: ILockStrategy) -> None:
        lease = await locks.acquire(ORDER_1)
        with pytest.raises(LockAcquisitionError) as refusal:
            await locks.acquire(ORDER_1, timeout=_SHORT)
        assert (refusal.value.resource, refusal.value.timeout) == (ORDER_1, _SHORT)
        await lease.release()
        await (await locks.acquire(ORDER_1, timeout=1)).release()

    async def test_no_timeout_means_now_or_not_at_all(self, locks: ILockStrategy) -> None:
        lease = await locks.acquire(ORDER_1, timeout=0)
        with pytest.raises(LockAcquisitionError):
            await locks.acquire(ORDER_1, timeout=0)
        await lease.release()
        await (await locks.acquire(ORDER_1, timeout=0)).release()

    async def test_who_holds_it_is_named_where_known(self, locks: ILockStrategy) -> None:
        lease = await locks.acquire(ORDER_1, session_id="command-7")
        with pytest.raises(LockAcquisitionError) as refusal:
            await locks.acquire(ORDER_1, timeout=_SHORT, session_id="command-8")
        assert refusal.value.holder is None or "command-7" in refusal.value.holder
        await lease.release()

    async def test_other_resources_are_free(self, locks: ILockStrategy) -> None:
        others = (ORDER_1, ORDER_2, _named("Invoice", "o-1"), _named("Order/o", "1"))
        leases = [await locks.acquire(other, timeout=1) for other in others]
        for lease in leases:
            await lease.release()

    async def test_names_that_look_alike_are_different_resources(
        self, locks: ILockStrategy
    ) -> None:
        names = [("a", "b:c"), ("a:b", "c"), ("a/b", "c"), ("a", "b/c"), ("A", "b:c"), ("a", "")]
        leases = [await locks.acquire(_named(*name), timeout=1) for name in names]
        assert len(await locks.get_active_locks()) == len(names)
        for lease in leases:
            await lease.release()

    # -- the queue -----------------------------------------------------------------------------

    async def test_twelve_contenders_get_it_one_after_another_in_their_order(
        self, locks: ILockStrategy
    ) -> None:
        order: list[int] = []
        holding = 0

        async def contend(number: int) -> None:
            nonlocal holding
            lease = await locks.acquire(ORDER_1, timeout=30)
            holding += 1
            assert holding == 1
            order.append(number)
            await asyncio.sleep(0)
            holding -= 1
            await lease.release()

        first = await locks.acquire(ORDER_1)
        async with asyncio.TaskGroup() as tasks:
            for number in range(12):
                tasks.create_task(contend(number))
                await self._until_waiting(locks, number + 1)
            await first.release()
        assert order == list(range(12))

    async def test_contenders_who_come_while_it_changes_hands_all_get_it(
        self, locks: ILockStrategy
    ) -> None:
        inside: list[int] = []
        done: list[int] = []

        async def contend(number: int) -> None:
            for _ in range(number % 4):
                await asyncio.sleep(0)
            async with _held(locks, ORDER_1):
                inside.append(number)
                assert inside == [number]
                for _ in range(number % 3):
                    await asyncio.sleep(0)
                inside.remove(number)
                done.append(number)

        async with asyncio.TaskGroup() as tasks:
            for number in range(30):
                tasks.create_task(contend(number))
        assert sorted(done) == list(range(30))
        assert await locks.get_active_locks() == []

    async def test_a_timed_out_waiter_does_not_swallow_the_wake_up(
        self, locks: ILockStrategy
    ) -> None:
        first = await locks.acquire(ORDER_1)
        impatient = asyncio.create_task(locks.acquire(ORDER_1, timeout=_LONG_LEASE))
        await self._until_waiting(locks, 1)
        patient = asyncio.create_task(locks.acquire(ORDER_1, timeout=10))
        await self._until_waiting(locks, 2)
        with pytest.raises(LockAcquisitionError):
            await impatient
        await first.release()
        await (await patient).release()
        await (await locks.acquire(ORDER_1, timeout=1)).release()

    async def test_a_cancelled_waiter_does_not_block_the_queue(self, locks: ILockStrategy) -> None:
        first = await locks.acquire(ORDER_1)
        cancelled = asyncio.create_task(locks.acquire(ORDER_1))
        await self._until_waiting(locks, 1)
        patient = asyncio.create_task(locks.acquire(ORDER_1))
        await self._until_waiting(locks, 2)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await first.release()
        await (await patient).release()
        await (await locks.acquire(ORDER_1, timeout=1)).release()

    async def test_a_waiter_cancelled_while_it_is_granted_passes_the_lock_on(
        self, locks: ILockStrategy
    ) -> None:
        first = await locks.acquire(ORDER_1)
        cancelled = asyncio.create_task(locks.acquire(ORDER_1))
        await self._until_waiting(locks, 1)
        patient = asyncio.create_task(locks.acquire(ORDER_1))
        await self._until_waiting(locks, 2)
        await first.release()
        cancelled.cancel()
        outcome = (await asyncio.gather(cancelled, return_exceptions=True))[0]
        if isinstance(outcome, ILease):  # it had the lock before the cancellation came
            await outcome.release()
        else:
            assert isinstance(outcome, asyncio.CancelledError)
        await (await patient).release()
        assert await locks.get_active_locks() == []

    async def test_waiters_who_all_give_up_leave_nothing_behind(self, locks: ILockStrategy) -> None:
        first = await locks.acquire(ORDER_1)
        waiters = [asyncio.create_task(locks.acquire(ORDER_1)) for _ in range(5)]
        await self._until_waiting(locks, 5)
        for waiter in reversed(waiters):
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        await self._until_waiting(locks, 0)
        await first.release()
        await (await locks.acquire(ORDER_1, timeout=1)).release()
        assert await locks.get_active_locks() == []

    # -- readers and writers -------------------------------------------------------------------

    async def test_readers_share(self, locks: ILockStrategy) -> None:
        readers = [await locks.acquire(READ_1, timeout=1) for _ in range(3)]
        assert len(await locks.get_active_locks()) == 3
        for reader in readers:
            await reader.release()

    async def test_a_writer_is_alone(self, locks: ILockStrategy) -> None:
        writer = await locks.acquire(ORDER_1)
        with pytest.raises(LockAcquisitionError):
            await locks.acquire(READ_1, timeout=_SHORT)
        await writer.release()
        reader = await locks.acquire(READ_1, timeout=1)
        with pytest.raises(LockAcquisitionError):
            await locks.acquire(ORDER_1, timeout=_SHORT)
        await reader.release()
        await (await locks.acquire(ORDER_1, timeout=1)).release()

    async def test_a_writer_waits_for_the_last_reader(self, locks: ILockStrategy) -> None:
        first, second = await locks.acquire(READ_1), await locks.acquire(READ_1)
        writer = asyncio.create_task(locks.acquire(ORDER_1))
        await self._until_waiting(locks, 1)
        await first.release()
        assert await self.waiting(locks, ORDER_1) == 1
        await second.release()
        await (await writer).release()

    async def test_readers_behind_a_waiting_writer_wait_behind_it(
        self, locks: ILockStrategy
    ) -> None:
        order: list[str] = []
        first = await locks.acquire(READ_1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._note(locks, ORDER_1, order, "writer"))
            await self._until_waiting(locks, 1)
            tasks.create_task(self._note(locks, READ_1, order, "reader"))
            await self._until_waiting(locks, 2)
            assert order == []
            await first.release()
        assert order == ["writer", "reader"]

    async def test_readers_go_on_when_the_writer_before_them_gives_up(
        self, locks: ILockStrategy
    ) -> None:
        first = await locks.acquire(READ_1)
        writer = asyncio.create_task(locks.acquire(ORDER_1))
        await self._until_waiting(locks, 1)
        reader = asyncio.create_task(locks.acquire(READ_1, timeout=10))
        await self._until_waiting(locks, 2)
        writer.cancel()
        second = await reader
        await second.release()
        await first.release()

    # -- leases --------------------------------------------------------------------------------

    async def test_fencing_tokens_grow(self, locks: ILockStrategy) -> None:
        tokens: list[int] = []
        for _ in range(5):
            lease = await locks.acquire(ORDER_1)
            tokens.append(lease.fencing_token)
            await lease.release()
        assert tokens == sorted(set(tokens))
        reader = await locks.acquire(READ_1)
        assert reader.fencing_token > tokens[-1]
        await reader.release()

    async def test_a_lease_ends_by_itself_and_a_waiter_gets_the_lock(
        self, locks: ILockStrategy
    ) -> None:
        dead = await locks.acquire(ORDER_1, ttl=_LEASE)
        successor = await locks.acquire(ORDER_1, timeout=10)
        assert successor.fencing_token > dead.fencing_token
        assert await dead.renew(30) is False
        await dead.release()
        with pytest.raises(LockAcquisitionError):
            await locks.acquire(ORDER_1, timeout=_SHORT)
        await successor.release()

    async def test_a_dead_reader_does_not_keep_the_writer_waiting(
        self, locks: ILockStrategy
    ) -> None:
        living = await locks.acquire(READ_1)
        await locks.acquire(READ_1, ttl=_LEASE)
        await living.release()
        await (await locks.acquire(ORDER_1, timeout=10)).release()

    async def test_the_locks_of_dead_holders_are_not_active(self, locks: ILockStrategy) -> None:
        await locks.acquire(ORDER_1, ttl=_LEASE)
        await locks.acquire(READ_2, ttl=_LEASE)

        async def none_is_active() -> bool:
            return not await locks.get_active_locks()

        await until(none_is_active, timeout=10)

    async def test_a_renewed_lease_lives_on(self, locks: ILockStrategy) -> None:
        lease = await locks.acquire(ORDER_1, ttl=_LONG_LEASE)
        assert await lease.renew(30) is True
        with pytest.raises(LockAcquisitionError):
            await locks.acquire(ORDER_1, timeout=_LONG_LEASE + _LEASE)
        assert await lease.renew(30) is True
        await lease.release()

    async def test_a_waiter_sleeps_on_when_the_holder_renews(self, locks: ILockStrategy) -> None:
        lease = await locks.acquire(ORDER_1, ttl=_LONG_LEASE)
        waiter = asyncio.create_task(locks.acquire(ORDER_1, timeout=_LONG_LEASE + _LEASE))
        await self._until_waiting(locks, 1)
        assert await lease.renew(30) is True
        with pytest.raises(LockAcquisitionError):
            await waiter
        await lease.release()

    async def test_release_and_renew_after_the_release_are_no_harm(
        self, locks: ILockStrategy
    ) -> None:
        first = await locks.acquire(ORDER_1)
        await first.release()
        second = await locks.acquire(ORDER_1)
        await first.release()
        assert await first.renew(30) is False
        with pytest.raises(LockAcquisitionError):
            await locks.acquire(ORDER_1, timeout=_SHORT)
        await second.release()

    async def test_active_locks_are_shown_with_their_session_token_and_end(
        self, locks: ILockStrategy
    ) -> None:
        assert await locks.get_active_locks() == []
        writer = await locks.acquire(ORDER_1, ttl=20, session_id="s-1")
        reader = await locks.acquire(READ_2, ttl=40)
        shown = {lock.resource.key: lock for lock in await locks.get_active_locks()}
        assert set(shown) == {("Order", "o-1"), ("Order", "o-2")}
        first, second = shown["Order", "o-1"], shown["Order", "o-2"]
        assert (first.fencing_token, first.session_id) == (writer.fencing_token, "s-1")
        assert (second.fencing_token, second.session_id) == (reader.fencing_token, None)
        assert (first.resource.lock_mode, second.resource.lock_mode) == ("write", "read")
        assert 0 < first.remaining <= 20 < second.remaining <= 40
        await writer.release()
        await reader.release()
        assert await locks.get_active_locks() == []

    # -- sessions ------------------------------------------------------------------------------

    async def test_a_session_is_granted_again_what_it_holds(self, locks: ILockStrategy) -> None:
        outer = await locks.acquire(ORDER_1, session_id="s-1")
        inner = await locks.acquire(ORDER_1, timeout=1, session_id="s-1")
        reading = await locks.acquire(READ_1, timeout=1, session_id="s-1")
        await inner.release()
        await inner.release()
        await reading.release()
        with pytest.raises(LockAcquisitionError):
            await locks.acquire(ORDER_1, timeout=_SHORT, session_id="s-2")
        await outer.release()
        await (await locks.acquire(ORDER_1, timeout=1, session_id="s-2")).release()

    async def test_a_session_passes_those_who_wait_for_what_it_holds(
        self, locks: ILockStrategy
    ) -> None:
        outer = await locks.acquire(ORDER_1, session_id="s-1")
        waiter = asyncio.create_task(locks.acquire(ORDER_1, session_id="s-2"))
        await self._until_waiting(locks, 1)
        inner = await locks.acquire(ORDER_1, timeout=1, session_id="s-1")
        await outer.release()
        assert await self.waiting(locks, ORDER_1) == 1
        await inner.release()
        await (await waiter).release()

    async def test_without_a_session_nobody_is_granted_again(self, locks: ILockStrategy) -> None:
        lease = await locks.acquire(ORDER_1)
        with pytest.raises(LockAcquisitionError):
            await locks.acquire(ORDER_1, timeout=_SHORT)
        await lease.release()

    async def test_a_session_whose_lease_has_ended_waits_like_others(
        self, locks: ILockStrategy
    ) -> None:
        await locks.acquire(ORDER_1, ttl=_LEASE, session_id="s-1")
        other = await locks.acquire(ORDER_1, timeout=10, session_id="s-2")
        with pytest.raises(LockAcquisitionError):
            await locks.acquire(ORDER_1, timeout=_SHORT, session_id="s-1")
        await other.release()

    # -- critical sections ---------------------------------------------------------------------

    async def test_a_section_holds_all_its_locks_and_gives_them_back(
        self, locks: ILockStrategy
    ) -> None:
        async with CriticalSection([ORDER_2, ORDER_1], locks) as section:
            assert list(section.fencing_tokens) == [ORDER_1, ORDER_2]
            assert len(await locks.get_active_locks()) == 2
        assert await locks.get_active_locks() == []

    async def test_sections_that_name_their_locks_in_other_orders_do_not_deadlock(
        self, locks: ILockStrategy
    ) -> None:
        done: list[int] = []

        async def work(number: int) -> None:
            resources = [ORDER_1, ORDER_2] if number % 2 else [ORDER_2, ORDER_1]
            async with CriticalSection(resources, locks, timeout=30):
                await asyncio.sleep(0)
                done.append(number)

        async with asyncio.TaskGroup() as tasks:
            for number in range(8):
                tasks.create_task(work(number))
        assert sorted(done) == list(range(8))

    async def test_a_section_cancelled_before_its_second_lock_gives_the_first_back(
        self, locks: ILockStrategy
    ) -> None:
        second = await locks.acquire(ORDER_2)
        section = asyncio.create_task(self._section(locks))
        await self._until_waiting(locks, 1, ORDER_2)
        section.cancel()
        with pytest.raises(asyncio.CancelledError):
            await section
        await (await locks.acquire(ORDER_1, timeout=1)).release()
        await second.release()
        await (await locks.acquire(ORDER_2, timeout=1)).release()

    async def test_a_section_that_does_not_get_its_second_lock_gives_the_first_back(
        self, locks: ILockStrategy
    ) -> None:
        second = await locks.acquire(ORDER_2)
        with pytest.raises(LockAcquisitionError):
            async with CriticalSection([ORDER_1, ORDER_2], locks, timeout=_SHORT):
                pytest.fail("the second lock is held")
        await (await locks.acquire(ORDER_1, timeout=1)).release()
        await second.release()

    async def test_a_section_outlives_the_ttl_of_its_leases(self, locks: ILockStrategy) -> None:
        async with CriticalSection([ORDER_1], locks, ttl=_LONG_LEASE):
            with pytest.raises(LockAcquisitionError):
                await locks.acquire(ORDER_1, timeout=_LONG_LEASE + _LEASE)

    # -- steps ---------------------------------------------------------------------------------

    async def _until_waiting(
        self, locks: ILockStrategy, number: int, resource: ResourceIdentifier = ORDER_1
    ) -> None:
        async def so_many_wait() -> bool:
            return await self.waiting(locks, resource) == number

        await until(so_many_wait)

    async def _note(
        self, locks: ILockStrategy, resource: ResourceIdentifier, order: list[str], name: str
    ) -> None:
        async with _held(locks, resource):
            order.append(name)

    async def _section(self, locks: ILockStrategy) -> None:
        async with CriticalSection([ORDER_1, ORDER_2], locks):
            pytest.fail("the second lock is held")


@asynccontextmanager
async def _held(locks: ILockStrategy, resource: ResourceIdentifier) -> AsyncGenerator[ILease]:
    lease = await locks.acquire(resource, timeout=30)
    try:
        yield lease
    finally:
        await lease.release()


def _named(resource_type: str, resource_id: str) -> ResourceIdentifier:
    return ResourceIdentifier(resource_type, resource_id)
