"""The testing kit needs pytest only where it says so, and its suites do catch broken adapters."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Mapping, Sequence
from contextvars import Context
from typing import Any

import pytest

from cqrs_ddd_core import (
    ActiveLock,
    InMemoryDatabase,
    InMemoryOutboxStorage,
    InMemoryUnitOfWork,
    LockAcquisitionError,
    OutboxMessage,
    ResourceIdentifier,
    repository,
    restore_version,
)
from cqrs_ddd_core.ports import IUnitOfWork
from cqrs_ddd_core.testing.conformance import (
    CacheServiceConformance,
    LockStrategyConformance,
    OutboxStorageConformance,
    UnitOfWorkConformance,
)
from cqrs_ddd_core.testing.conformance.samples import Order

FAILURES = (AssertionError, LockAcquisitionError, pytest.fail.Exception)


def test_the_testing_package_does_not_need_pytest() -> None:
    script = "import sys; sys.modules['pytest'] = None; import cqrs_ddd_core.testing as t; t.given"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


async def catches(test: Awaitable[None]) -> None:
    """The test of a suite fails."""
    with pytest.raises(FAILURES):
        await test


# -- units of work ---------------------------------------------------------------------------------


class ForgetfulUnitOfWork(InMemoryUnitOfWork):
    """Keeps what should have been undone."""

    orders = repository(Order)

    async def _rollback(self) -> None:
        await self._commit()


class OverwritingUnitOfWork(InMemoryUnitOfWork):
    """Writes whatever the version."""

    orders = repository(Order)

    async def commit(self) -> None:
        if self._database is not None:
            rows = self._database.table(Order).rows
            for order in self.tracked():
                restore_version(order, rows[order.id].version if order.id in rows else 0)
        await super().commit()


class AtomicUnitOfWork(InMemoryUnitOfWork):
    """As it should be."""

    orders = repository(Order)


def factory_of(uow_type: type[InMemoryUnitOfWork]) -> Any:
    database = InMemoryDatabase()
    return lambda: uow_type(database)


async def test_the_suite_catches_a_unit_of_work_that_does_not_undo() -> None:
    test = UnitOfWorkConformance().test_an_error_in_the_block_undoes_all_of_it_and_passes
    await test(factory_of(AtomicUnitOfWork))
    await catches(test(factory_of(ForgetfulUnitOfWork)))


async def test_the_suite_catches_a_unit_of_work_that_overwrites() -> None:
    test = UnitOfWorkConformance().test_a_change_made_on_a_stale_version_is_refused
    await test(factory_of(AtomicUnitOfWork))
    await catches(test(factory_of(OverwritingUnitOfWork)))


# -- outbox ----------------------------------------------------------------------------------------


class LooseOutbox(InMemoryOutboxStorage):
    """Saves at once, whatever becomes of the unit of work."""

    async def save_messages(
        self, messages: Sequence[OutboxMessage], uow: IUnitOfWork | None = None
    ) -> None:
        await asyncio.create_task(super().save_messages(messages), context=Context())


async def test_the_suite_catches_an_outbox_that_ignores_the_unit_of_work() -> None:
    test = OutboxStorageConformance().test_messages_of_a_failed_unit_of_work_never_were
    await test(InMemoryOutboxStorage(), factory_of(AtomicUnitOfWork), given=True)
    await catches(test(LooseOutbox(), factory_of(AtomicUnitOfWork), given=True))


# -- locks -----------------------------------------------------------------------------------------


class NaiveLease:
    fencing_token = 1

    def __init__(self, lock: asyncio.Lock, resource: ResourceIdentifier) -> None:
        self.resource, self._lock = resource, lock

    async def renew(self, ttl: float) -> bool:
        return self._lock.locked()

    async def release(self) -> None:
        if self._lock.locked():
            self._lock.release()


class NaiveLocks:
    """One ``asyncio.Lock`` a resource: no leases, no sessions, no readers, no tokens."""

    def __init__(self) -> None:
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._waiting = 0

    def waiting(self, resource: ResourceIdentifier) -> int:
        return self._waiting

    async def acquire(
        self,
        resource: ResourceIdentifier,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109
        ttl: float = 30.0,
        session_id: str | None = None,
    ) -> NaiveLease:
        lock = self._locks.setdefault(resource.key, asyncio.Lock())
        self._waiting += 1
        try:
            async with asyncio.timeout(min(timeout, 0.1)):
                await lock.acquire()
        except TimeoutError:
            raise LockAcquisitionError(resource, timeout) from None
        finally:
            self._waiting -= 1
        return NaiveLease(lock, resource)

    async def health_check(self) -> bool:
        return True

    async def get_active_locks(self) -> list[ActiveLock]:
        return []


async def test_the_suite_accepts_what_naive_locks_can_do() -> None:
    suite = LockStrategyConformance()
    await suite.test_it_implements_the_port(NaiveLocks())
    await suite.test_twelve_contenders_get_it_one_after_another_in_their_order(NaiveLocks())
    await suite.test_a_cancelled_waiter_does_not_block_the_queue(NaiveLocks())


@pytest.mark.parametrize(
    "name",
    [
        "fencing_tokens_grow",
        "readers_share",
        "a_lease_ends_by_itself_and_a_waiter_gets_the_lock",
        "release_and_renew_after_the_release_are_no_harm",
        "a_session_is_granted_again_what_it_holds",
        "active_locks_are_shown_with_their_session_token_and_end",
    ],
)
async def test_the_suite_catches_what_naive_locks_cannot_do(name: str) -> None:
    await catches(getattr(LockStrategyConformance(), f"test_{name}")(NaiveLocks()))


# -- cache -----------------------------------------------------------------------------------------


class DictCache:
    """Hands out the very objects that were set, and reads prefixes as patterns."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    async def get(self, key: str, cls: Any = None) -> Any:
        return self._values.get(key) or None

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        self._values[key] = value

    async def delete(self, *keys: str) -> None:
        for key in keys:
            del self._values[key]

    async def get_batch(self, keys: Sequence[str], cls: type[Any] | None = None) -> list[Any]:
        return [self._values[key] for key in keys if key in self._values]

    async def set_batch(self, values: Mapping[str, Any], ttl: float | None = None) -> None:
        self._values.update(values)

    async def clear_namespace(self, prefix: str) -> None:
        for key in [key for key in self._values if prefix.rstrip("*") in key]:
            del self._values[key]


async def test_the_suite_catches_a_cache_that_shares_and_loses_values() -> None:
    suite = CacheServiceConformance()
    await catches(suite.test_what_json_can_hold_comes_back_as_it_was(DictCache()))
    await catches(suite.test_what_comes_out_shares_nothing_with_what_went_in(DictCache()))
    await catches(suite.test_a_batch_comes_in_the_order_of_its_keys(DictCache()))
    await catches(suite.test_a_namespace_is_cleared_and_no_other(DictCache(), "order:"))
