"""The outbox of whole commands: a message is there if and only if its command committed."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from cqrs_ddd_core import (
    Command,
    ConcurrencyError,
    DomainEvent,
    EventPhase,
    IdempotencyMiddleware,
    InMemoryDatabase,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    OutboxMiddleware,
    PersistenceError,
    RetryMiddleware,
    RetryPolicy,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyIdempotencyStore,
    SQLAlchemyOutboxStorage,
    SQLAlchemyRepository,
    create_schema,
)

from .bank import Account, Bank, BankUnitOfWork, Deposit, Deposited, OpenAccount, open_bank
from .conftest import Sql, opened


@pytest.fixture
async def bank(sql: Sql) -> Bank:
    return await open_bank(sql)


async def _amounts(bank: Bank) -> list[int]:
    """Return the amount that each waiting message tells of, oldest first."""
    return [json.loads(message.payload)["amount"] for message in await bank.outbox.get_pending()]


class Fail(Command[None]):
    account_id: str


class Transfer(Command[None]):
    source: str
    target: str
    amount: int


async def _transfer(command: Transfer, uow: BankUnitOfWork) -> None:
    (await uow.accounts.require(command.source)).deposit(-command.amount)
    (await uow.accounts.require(command.target)).deposit(command.amount)


async def test_a_command_that_commits_has_its_messages(bank: Bank) -> None:
    await bank.mediator.send(OpenAccount(account_id="a", amount=5))
    await bank.mediator.send(Deposit(account_id="a", amount=2))
    assert await _amounts(bank) == [5, 2]
    assert await bank.balance("a") == 7


async def test_a_command_that_fails_has_none(bank: Bank) -> None:
    async def fail(command: Fail, uow: BankUnitOfWork) -> None:
        account = Account(id=command.account_id)
        account.deposit(1)
        await uow.accounts.add(account)
        await uow.flush()
        await bank.outbox.save_messages([], uow)
        raise ZeroDivisionError

    bank.registry.register_command_handler(Fail, fail)
    with pytest.raises(ZeroDivisionError):
        await bank.mediator.send(Fail(account_id="a"))
    assert await _amounts(bank) == []
    assert await bank.balance("a") is None


async def test_a_command_that_loses_its_race_at_the_commit_has_none(bank: Bank) -> None:
    await bank.mediator.send(OpenAccount(account_id="a", amount=5))
    with pytest.raises(ConcurrencyError):
        await bank.mediator.send(OpenAccount(account_id="a", amount=6))
    assert await _amounts(bank) == [5]


async def test_a_failed_attempt_and_its_repetition_leave_one_message(sql: Sql) -> None:
    bank = await open_bank(sql, RetryMiddleware(RetryPolicy(base_delay=0)))
    attempts = 0

    async def deposit(command: Deposit, uow: BankUnitOfWork) -> int:
        nonlocal attempts
        attempts += 1
        account = await uow.accounts.require(command.account_id)
        account.deposit(command.amount)
        await uow.flush()
        if attempts < 3:
            raise ConcurrencyError("Account 'a'", expected=1, actual=2)
        return account.balance

    await bank.mediator.send(OpenAccount(account_id="a", amount=5))
    del bank.registry.commands[Deposit]
    bank.registry.register_command_handler(Deposit, deposit)
    response = await bank.mediator.send(Deposit(account_id="a", amount=1))
    assert (attempts, response.result) == (3, 6)
    assert await _amounts(bank) == [5, 1]


async def test_events_of_nested_commands_are_saved_once_in_order(bank: Bank) -> None:
    async def outer(command: Fail, uow: BankUnitOfWork) -> None:
        await mediator.send(OpenAccount(account_id="a", amount=1))
        await mediator.send(Deposit(account_id="a", amount=2))
        (await uow.accounts.require("a")).deposit(3)
        await mediator.send(Transfer(source="a", target="a", amount=4))

    bank.registry.register_command_handler(Fail, outer)
    bank.registry.register_command_handler(Transfer, _transfer)
    mediator = bank.mediator
    await mediator.send(Fail(account_id="a"))
    assert await _amounts(bank) == [1, 2, 3, -4, 4]
    messages = await bank.outbox.get_pending()
    assert len({message.message_id for message in messages}) == 5
    assert len({message.correlation_id for message in messages}) == 1
    assert None not in {message.causation_id for message in messages}


async def test_a_nested_command_that_fails_takes_the_whole_with_it(bank: Bank) -> None:
    async def outer(command: Fail) -> None:
        await mediator.send(OpenAccount(account_id="b", amount=1))
        try:
            await mediator.send(OpenAccount(account_id="a", amount=1))
            await mediator.send(Deposit(account_id="nobody"))
        except Exception:  # noqa: BLE001 - what is caught dooms the command all the same
            pass

    bank.registry.register_command_handler(Fail, outer)
    mediator = bank.mediator
    with pytest.raises(Exception, match="savepoint"):
        await mediator.send(Fail(account_id="a"))
    assert await _amounts(bank) == []
    assert (await bank.balance("a"), await bank.balance("b")) == (None, None)


async def test_an_in_transaction_handler_that_fails_leaves_nothing(bank: Bank) -> None:
    told: list[int] = []

    async def refuse(event: Deposited, uow: BankUnitOfWork) -> None:
        await uow.accounts.add(Account(id="by-handler"))
        await uow.flush()
        if event.amount == 13:
            raise ZeroDivisionError

    async def tell(event: Deposited) -> None:
        told.append(event.amount)

    bank.registry.register_event_handler(Deposited, refuse, phase=EventPhase.IN_TRANSACTION)
    bank.registry.register_event_handler(Deposited, tell, phase=EventPhase.AFTER_COMMIT)
    with pytest.raises(ZeroDivisionError):
        await bank.mediator.send(OpenAccount(account_id="a", amount=13))
    assert (await bank.balance("a"), await bank.balance("by-handler")) == (None, None)
    assert (await _amounts(bank), told) == ([], [])
    await bank.mediator.send(OpenAccount(account_id="a", amount=12))
    assert (await bank.balance("a"), await bank.balance("by-handler")) == (12, 0)
    assert (await _amounts(bank), told) == ([12], [12])


async def test_in_transaction_handlers_of_one_event_run_one_after_another(bank: Bank) -> None:
    order: list[str] = []

    def handler(name: str) -> Any:
        async def handle(event: Deposited, uow: BankUnitOfWork) -> None:
            order.append(f"{name} begins")
            await uow.accounts.add(Account(id=name))
            await uow.flush()
            assert await (await uow.accounts.search()).total_count() >= 2
            order.append(f"{name} ends")

        return handle

    for name in ("first", "second", "third"):
        bank.registry.register_event_handler(
            Deposited, handler(name), phase=EventPhase.IN_TRANSACTION
        )
    await bank.mediator.send(OpenAccount(account_id="a"))
    assert order == [
        f"{name} {step}" for name in ("first", "second", "third") for step in ("begins", "ends")
    ]


async def test_a_task_of_a_handler_commits_its_own_commands(bank: Bank) -> None:
    """On the peers it was taken for nested in a finished unit of work, and never committed."""
    started: list[asyncio.Task[Any]] = []

    async def outer(command: Fail) -> None:
        started.append(asyncio.create_task(_later(mediator, done)))

    done = asyncio.Event()
    bank.registry.register_command_handler(Fail, outer)
    mediator = bank.mediator
    await mediator.send(Fail(account_id="-"))
    done.set()
    await asyncio.gather(*started)
    assert await bank.balance("later") == 4
    assert await _amounts(bank) == [4]


async def _later(mediator: Mediator, outer_is_done: asyncio.Event) -> None:
    await outer_is_done.wait()
    await mediator.send(OpenAccount(account_id="later", amount=4))


class Measured(DomainEvent):
    at: datetime
    price: Decimal
    reference: UUID


async def test_events_of_every_kind_of_value_can_be_saved(bank: Bank) -> None:
    event = Measured(
        at=datetime.fromisoformat("2026-02-03T04:05:06.789+02:00"),
        price=Decimal("12.340"),
        reference=UUID(int=7),
    )
    await bank.mediator.publish(event)
    (message,) = await bank.outbox.get_pending()
    assert json.loads(message.payload)["price"] == "12.340"
    assert message.occurred_at == event.occurred_at


# -- one database, not two ---------------------------------------------------------------------


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[Sql]:
    async with opened(f"sqlite+aiosqlite:///{tmp_path / 'elsewhere.sqlite'}") as other:
        yield other


async def test_an_outbox_on_another_database_is_refused(sql: Sql, elsewhere: Sql) -> None:
    bank = await open_bank(sql)
    outbox = SQLAlchemyOutboxStorage(elsewhere.session_factory)
    await create_schema(elsewhere.engine, outbox)
    mediator = Mediator(
        bank.registry, bank.uow, middleware_registry=MiddlewareRegistry([OutboxMiddleware(outbox)])
    )
    with pytest.raises(PersistenceError, match="same session factory"):
        await mediator.send(OpenAccount(account_id="a"))
    assert await bank.balance("a") is None
    assert await outbox.get_pending() == []


async def test_storages_and_repositories_on_another_database_are_refused(
    sql: Sql, elsewhere: Sql
) -> None:
    keys = SQLAlchemyIdempotencyStore(elsewhere.session_factory)
    accounts = SQLAlchemyRepository[Account, str](Account, elsewhere.session_factory)
    await create_schema(elsewhere.engine, keys, accounts)
    bank = await open_bank(sql, IdempotencyMiddleware(keys))
    await bank.mediator.send(OpenAccount(account_id="a"))
    with pytest.raises(PersistenceError, match="cannot commit together"):
        await bank.mediator.send(Deposit(account_id="a", idempotency_key="k"))
    with pytest.raises(PersistenceError, match="cannot commit together"):
        async with bank.uow():
            await accounts.add(Account(id="a"))
    assert await bank.balance("a") == 1
    async with elsewhere.engine.connect() as connection:
        assert (await connection.execute(select(keys.table))).all() == []
    assert await accounts.get("a") is None


async def test_an_outbox_in_a_unit_of_work_in_memory_is_refused(bank: Bank) -> None:
    database = InMemoryDatabase()

    class MemoryUnitOfWork(InMemoryUnitOfWork):
        pass

    mediator = Mediator(
        bank.registry,
        lambda: MemoryUnitOfWork(database),
        middleware_registry=MiddlewareRegistry([OutboxMiddleware(bank.outbox)]),
    )
    with pytest.raises(PersistenceError, match="MemoryUnitOfWork"):
        await mediator.publish(Deposited(amount=1))
    assert await bank.outbox.get_pending() == []
