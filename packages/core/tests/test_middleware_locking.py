"""Locks taken for a command: held until its commit is done, by one unit of work at a time."""

import asyncio
from typing import Any

import pytest

from cqrs_ddd_core import (
    ActiveLock,
    AggregateRoot,
    Command,
    CommandResponse,
    ConcurrencyError,
    ConcurrencyGuardMiddleware,
    CriticalSection,
    DomainEvent,
    HandlerRegistry,
    ILease,
    InMemoryDatabase,
    InMemoryLockStrategy,
    InMemoryUnitOfWork,
    LockAcquisitionError,
    LockLostError,
    Mediator,
    MiddlewareRegistry,
    Query,
    ResourceIdentifier,
    get_current_uow,
    repository,
    use_clock,
)
from cqrs_ddd_core.testing import ManualClock, until

A, B = ResourceIdentifier("Account", "a"), ResourceIdentifier("Account", "b")


class Account(AggregateRoot[str]):
    balance: int = 0


class BankUnitOfWork(InMemoryUnitOfWork):
    accounts = repository(Account)
    log: list[str]
    before_commit_done: asyncio.Event | None = None

    async def _commit(self) -> None:
        self.log.append("commit begins")
        if self.before_commit_done is not None:
            await self.before_commit_done.wait()
        await super()._commit()
        self.log.append("commit ends")


class Deposit(Command[int]):
    amount: int = 1
    accounts: tuple[str, ...] = ("a",)
    error: str = ""
    nested: bool = False

    def get_critical_resources(self) -> list[ResourceIdentifier]:
        return [ResourceIdentifier("Account", account) for account in self.accounts]


class ReadBalance(Query[int]):
    def get_critical_resources(self) -> list[ResourceIdentifier]:
        return [ResourceIdentifier("Account", "a", "read")]


class Free(Command[None]):
    pass


class Bank:
    def __init__(self, *, timeout: float = 5.0, ttl: float = 30.0) -> None:
        self.locks, self.database = InMemoryLockStrategy(), InMemoryDatabase()
        self.log: list[str] = []
        self.inside = self.most = self.runs = 0
        self.gate: asyncio.Event | None = None
        self.before_commit: asyncio.Event | None = None
        self.registry = HandlerRegistry()
        self.registry.register_command_handler(Deposit, self.deposit)
        self.registry.register_query_handler(ReadBalance, self.read_balance)
        self.registry.register_command_handler(Free, self.free)
        guard = ConcurrencyGuardMiddleware(self.locks, timeout=timeout, ttl=ttl)
        self.mediator = Mediator(
            self.registry, self.open, middleware_registry=MiddlewareRegistry([guard])
        )

    def open(self) -> BankUnitOfWork:
        uow = BankUnitOfWork(self.database)
        uow.log, uow.before_commit_done = self.log, self.before_commit
        return uow

    async def deposit(self, command: Deposit, uow: BankUnitOfWork) -> int:
        self.runs += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            account = await uow.accounts.get("a") or Account(id="a")
            await uow.accounts.add(account)
            await asyncio.sleep(0)
            account.balance += command.amount
            if self.gate is not None:
                await self.gate.wait()
            if command.nested:
                await self.mediator.send(Deposit(amount=10, accounts=("b", "a")))
            if command.error == "race":
                raise ConcurrencyError("Account 'a'", expected=1, actual=2)
            if command.error:
                raise LookupError(command.error)
            return account.balance
        finally:
            self.inside -= 1

    async def read_balance(self, query: ReadBalance, uow: BankUnitOfWork) -> int:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.gate is not None:
            await self.gate.wait()
        self.inside -= 1
        account = await uow.accounts.get("a")
        return account.balance if account else 0

    async def free(self, command: Free) -> None:
        self.log.append("free")

    async def held(self) -> list[str]:
        return [str(lock.resource) for lock in await self.locks.get_active_locks()]


async def test_a_lock_is_held_until_the_commit_is_done() -> None:
    bank = Bank()
    bank.before_commit = asyncio.Event()
    first = asyncio.create_task(bank.mediator.send(Deposit()))
    await until(lambda: "commit begins" in bank.log)
    second = asyncio.create_task(bank.mediator.send(Deposit()))
    await until(lambda: bank.locks.waiting(A) == 1)
    assert await bank.held() == ["Account/a"]
    assert bank.runs == 1
    bank.before_commit.set()
    assert [(await first).result, (await second).result] == [1, 2]
    assert bank.log == ["commit begins", "commit ends"] * 2
    assert await bank.held() == []


async def test_the_next_holder_sees_what_was_committed() -> None:
    bank = Bank()
    await asyncio.gather(*(bank.mediator.send(Deposit()) for _ in range(25)))
    assert (await bank.mediator.query(ReadBalance())).result == 25
    assert bank.most == 1


async def test_commands_of_one_conversation_exclude_each_other() -> None:
    bank = Bank()
    deposits = [Deposit(correlation_id="request-7") for _ in range(5)]
    await asyncio.gather(*(bank.mediator.send(deposit) for deposit in deposits))
    assert bank.most == 1
    assert (await bank.mediator.query(ReadBalance())).result == 5


async def test_commands_on_different_resources_do_not_wait() -> None:
    bank = Bank()
    bank.gate = asyncio.Event()
    holding = asyncio.create_task(bank.mediator.send(Deposit()))
    await until(lambda: bank.inside == 1)
    other = asyncio.create_task(bank.mediator.send(Deposit(accounts=("b",), error="other")))
    await until(lambda: bank.inside == 2)
    bank.gate.set()
    await holding
    with pytest.raises(LookupError):
        await other


async def test_a_command_that_asks_for_nothing_locks_nothing() -> None:
    bank = Bank()
    bank.gate = asyncio.Event()
    holding = asyncio.create_task(bank.mediator.send(Deposit()))
    await until(lambda: bank.inside == 1)
    await bank.mediator.send(Free())
    assert "free" in bank.log
    bank.gate.set()
    await holding


async def test_readers_share_a_lock_and_a_writer_waits_for_them() -> None:
    bank = Bank()
    bank.gate = asyncio.Event()
    readers = [asyncio.create_task(bank.mediator.query(ReadBalance())) for _ in range(3)]
    await until(lambda: bank.inside == 3)
    writer = asyncio.create_task(bank.mediator.send(Deposit()))
    await until(lambda: bank.locks.waiting(A) == 1)
    assert bank.runs == 0
    bank.gate.set()
    assert [(await reader).result for reader in readers] == [0, 0, 0]
    assert (await writer).result == 1


async def test_nested_commands_share_the_locks_of_their_unit_of_work() -> None:
    bank = Bank()
    assert (await bank.mediator.send(Deposit(nested=True))).result == 11
    assert bank.log == ["commit begins", "commit ends"]
    assert await bank.held() == []


async def test_no_two_units_of_work_share_a_session() -> None:
    bank, sessions = Bank(), set[str | None]()

    class Look(Command[None]):
        nested: bool = False

        def get_critical_resources(self) -> list[ResourceIdentifier]:
            return [A]

    async def look(command: Look) -> None:
        (lock,) = await bank.locks.get_active_locks()
        sessions.add(lock.session_id)
        if command.nested:
            await bank.mediator.send(Look())

    bank.registry.register_command_handler(Look, look)
    await bank.mediator.send(Look(nested=True))
    assert len(sessions) == 1
    for _ in range(20):
        await bank.mediator.send(Look())
    assert len(sessions) == 21


async def test_a_failed_command_gives_its_locks_back() -> None:
    bank = Bank()
    with pytest.raises(LookupError):
        await bank.mediator.send(Deposit(error="broken"))
    assert await bank.held() == []
    assert (await bank.mediator.send(Deposit())).result == 1


async def test_a_lost_race_in_the_handler_never_runs_it_again_without_the_lock() -> None:
    bank = Bank()
    with pytest.raises(ConcurrencyError):
        await bank.mediator.send(Deposit(error="race"))
    assert bank.runs == 1


async def test_a_lock_that_is_not_granted_in_time_fails_the_command_untouched() -> None:
    bank = Bank(timeout=0.01)
    lease = await bank.locks.acquire(A, session_id="night shift")
    with pytest.raises(LockAcquisitionError, match="held by night shift") as caught:
        await bank.mediator.send(Deposit())
    assert (caught.value.resource, caught.value.holder) == (A, "night shift")
    assert (bank.runs, bank.log) == (0, [])
    await lease.release()
    assert (await bank.mediator.send(Deposit())).result == 1


async def test_cancelling_the_wait_for_the_second_lock_gives_the_first_one_back() -> None:
    bank = Bank()
    lease = await bank.locks.acquire(B)
    waiting = asyncio.create_task(bank.mediator.send(Deposit(accounts=("a", "b"))))
    await until(lambda: bank.locks.waiting(B) == 1)
    assert await bank.held() == ["Account/b", "Account/a"]
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert await bank.held() == ["Account/b"]
    await lease.release()
    assert (await bank.mediator.send(Deposit(accounts=("a", "b")))).result == 1


async def test_a_cancelled_command_gives_its_locks_back() -> None:
    bank = Bank()
    bank.gate = asyncio.Event()
    running = asyncio.create_task(bank.mediator.send(Deposit()))
    await until(lambda: bank.inside == 1)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert await bank.held() == []


async def test_locks_asked_for_in_opposite_orders_never_wait_for_each_other() -> None:
    bank = Bank()
    there = [Deposit(accounts=("a", "b")) for _ in range(5)]
    back = [Deposit(accounts=("b", "a")) for _ in range(5)]
    await asyncio.gather(*(bank.mediator.send(deposit) for deposit in (*there, *back)))
    assert (await bank.mediator.query(ReadBalance())).result == 10


async def test_a_command_whose_lock_was_lost_is_undone_and_told() -> None:
    clock = ManualClock()
    with use_clock(clock):
        bank = Bank(ttl=0.03)
        bank.gate = asyncio.Event()
        running = asyncio.create_task(bank.mediator.send(Deposit()))
        await until(lambda: bank.inside == 1)
        clock.advance(1)
        with pytest.raises(LockLostError, match="Account/a") as caught:
            await running
        assert caught.value.resource == A
        bank.gate = None
        assert (await bank.mediator.send(Deposit())).result == 1


async def test_a_lock_lost_during_the_commit_is_logged_and_the_command_has_succeeded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    with use_clock(clock):
        bank = Bank(ttl=0.03)
        bank.before_commit = asyncio.Event()
        running = asyncio.create_task(bank.mediator.send(Deposit()))
        await until(lambda: bank.log == ["commit begins"])
        clock.advance(1)
        await until(
            lambda: "was lost while its work was being committed" in caplog.text, timeout=30
        )
        bank.before_commit.set()
        assert (await running).result == 1
        assert bank.log == ["commit begins", "commit ends"]
        assert (await bank.mediator.send(Deposit())).result == 2


async def test_a_lock_lost_between_commit_and_end_is_logged_and_the_command_has_succeeded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, gate, told = ManualClock(), asyncio.Event(), list[str]()

    async def tell() -> None:
        told.append("begins")
        await gate.wait()
        told.append("ends")

    class DepositAndTell(Deposit):
        pass

    async def deposit_and_tell(command: DepositAndTell, uow: BankUnitOfWork) -> int:
        uow.on_commit(tell)
        return await bank.deposit(command, uow)

    with use_clock(clock):
        bank = Bank(ttl=0.03)
        bank.registry.register_command_handler(DepositAndTell, deposit_and_tell)
        running = asyncio.create_task(bank.mediator.send(DepositAndTell()))
        await until(lambda: told == ["begins"])
        clock.advance(1)
        await until(lambda: "the work is done" in caplog.text, timeout=30)
        gate.set()
        assert (await running).result == 1
        assert told == ["begins", "ends"]


async def test_a_lock_lost_behind_a_commit_of_its_own_still_interrupts_what_follows() -> None:
    clock = ManualClock()

    class DepositInParts(Deposit):
        pass

    async def deposit_in_parts(command: DepositInParts, uow: BankUnitOfWork) -> int:
        await uow.accounts.add(Account(id="first"))
        await uow.commit()
        return await bank.deposit(command, uow)

    with use_clock(clock):
        bank = Bank(ttl=0.03)
        bank.gate = asyncio.Event()
        bank.registry.register_command_handler(DepositInParts, deposit_in_parts)
        running = asyncio.create_task(bank.mediator.send(DepositInParts()))
        await until(lambda: bank.inside == 1)
        clock.advance(1)
        with pytest.raises(LockLostError):
            await running
        assert [row.aggregate.id for row in bank.database.table(Account).rows.values()] == ["first"]


async def test_a_lease_is_renewed_while_its_command_runs() -> None:
    clock, bank = ManualClock(), Bank(ttl=0.03)

    async def is_renewed() -> bool:
        (lock,) = await bank.locks.get_active_locks()
        return lock.remaining > 0.02

    with use_clock(clock):
        bank.gate = asyncio.Event()
        running = asyncio.create_task(bank.mediator.send(Deposit()))
        await until(lambda: bank.inside == 1)
        for _ in range(5):
            clock.advance(0.02)
            await until(is_renewed)
        bank.gate.set()
        assert (await running).result == 1


class UnsteadyLease:
    """A lease whose server cannot be reached at times."""

    def __init__(self, lease: ILease, server: "UnsteadyLocks") -> None:
        self.lease, self.server = lease, server
        self.resource, self.fencing_token = lease.resource, lease.fencing_token

    async def renew(self, ttl: float) -> bool:
        self.server.calls += 1
        if self.server.is_down:
            raise OSError("no route to host")
        return await self.lease.renew(ttl)

    async def release(self) -> None:
        if self.server.is_down:
            raise OSError("no route to host")
        await self.lease.release()


class UnsteadyLocks:
    """Locks in memory behind a connection that can break."""

    def __init__(self) -> None:
        self.inner, self.is_down, self.calls = InMemoryLockStrategy(), False, 0

    async def acquire(self, resource: ResourceIdentifier, **options: Any) -> ILease:
        return UnsteadyLease(await self.inner.acquire(resource, **options), self)

    async def health_check(self) -> bool:
        return not self.is_down

    async def get_active_locks(self) -> list[ActiveLock]:
        return await self.inner.get_active_locks()


async def test_a_lock_server_that_is_back_in_time_costs_no_lock(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with use_clock(ManualClock()):
        locks = UnsteadyLocks()
        async with CriticalSection([A], locks, ttl=0.03):
            locks.is_down = True
            await until(lambda: locks.calls >= 2)
            locks.is_down = False
            calls = locks.calls
            await until(lambda: locks.calls > calls)
    assert "The lock on Account/a could not be renewed" in caplog.text
    assert await locks.get_active_locks() == []


async def test_a_lock_server_that_stays_away_costs_the_lock() -> None:
    clock = ManualClock()
    locks = UnsteadyLocks()

    async def work() -> None:
        async with CriticalSection([A], locks, ttl=0.03):
            locks.is_down = True
            clock.advance(1)
            await asyncio.Event().wait()

    with use_clock(clock), pytest.raises(LockLostError, match="Account/a"):
        await work()


async def test_locks_that_cannot_be_given_back_neither_fail_the_work_nor_keep_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    locks = UnsteadyLocks()
    async with CriticalSection([A, B], locks):
        locks.is_down = True
    assert caplog.text.count("could not be unlocked; its lease ends by itself") == 2


async def test_a_section_of_your_own_holds_its_locks_as_long_as_its_block() -> None:
    locks = InMemoryLockStrategy()
    async with CriticalSection([B, A, A], locks) as section:
        assert list(section.fencing_tokens) == [A, B]
        assert len(await locks.get_active_locks()) == 2
    assert await locks.get_active_locks() == []


async def test_to_write_wins_over_to_read() -> None:
    locks = InMemoryLockStrategy()
    async with CriticalSection([ResourceIdentifier("Account", "a", "read"), A], locks):
        (lock,) = await locks.get_active_locks()
        assert lock.resource.lock_mode == "write"


async def test_sections_of_one_session_may_be_nested() -> None:
    locks = InMemoryLockStrategy()
    async with CriticalSection([A], locks, session_id="s"):
        async with CriticalSection([A, B], locks, session_id="s", timeout=0.5):
            assert len(await locks.get_active_locks()) == 2
        (lock,) = await locks.get_active_locks()
        assert (lock.resource, lock.session_id) == (A, "s")


async def test_an_error_in_a_section_passes_and_gives_the_locks_back() -> None:
    locks = InMemoryLockStrategy()

    async def fail() -> None:
        async with CriticalSection([A, B], locks):
            raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        await fail()
    assert await locks.get_active_locks() == []


async def test_the_unit_of_work_is_there_while_the_lock_is_held() -> None:
    bank = Bank()

    class Look(Command[bool]):
        def get_critical_resources(self) -> list[ResourceIdentifier]:
            return [A]

    async def look(command: Look) -> bool:
        return get_current_uow() is not None and await bank.held() == ["Account/a"]

    bank.registry.register_command_handler(Look, look)
    assert (await bank.mediator.send(Look())).result


async def test_a_lock_lost_while_the_command_is_being_ended_does_not_cancel_its_sender(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, closing, gate = ManualClock(), asyncio.Event(), asyncio.Event()

    class SlowToClose(BankUnitOfWork):
        def close_at_once(self) -> bool:
            return False

        async def _close(self) -> None:
            closing.set()
            await gate.wait()
            await super()._close()

    class DepositAndRaise(Deposit):
        pass

    async def deposit_and_raise(
        command: DepositAndRaise, uow: BankUnitOfWork
    ) -> CommandResponse[int]:
        return CommandResponse(await bank.deposit(command, uow), events=[DomainEvent()])

    with use_clock(clock):
        bank = Bank(ttl=0.03)
        bank.registry.register_command_handler(DepositAndRaise, deposit_and_raise)
        guard = ConcurrencyGuardMiddleware(bank.locks, ttl=0.03)

        def open_slow() -> SlowToClose:
            uow = SlowToClose(bank.database)
            uow.log = bank.log
            return uow

        mediator = Mediator(
            bank.registry, open_slow, middleware_registry=MiddlewareRegistry([guard])
        )
        commands: list[Deposit] = [Deposit(), DepositAndRaise()]
        for number, command in enumerate(commands, start=1):
            closing.clear()
            gate.clear()
            running = asyncio.create_task(mediator.send(command))
            await closing.wait()
            clock.advance(1)
            await until(lambda: caplog.text.count("the work is done") == number, timeout=30)  # noqa: B023
            gate.set()
            assert (await running).result == number
