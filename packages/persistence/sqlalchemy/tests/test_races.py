"""Many writers at once: nothing is lost, nothing is done twice, and who loses may try again."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from sqlalchemy import select

from cqrs_ddd_core import (
    ConcurrencyError,
    IdempotencyMiddleware,
    RetryMiddleware,
    RetryPolicy,
)
from cqrs_ddd_persistence_sqlalchemy import SQLAlchemyIdempotencyStore

from .bank import Deposit, OpenAccount, open_bank
from .conftest import Sql

WRITERS, DEPOSITS = 8, 5
PATIENT = RetryPolicy(max_attempts=200, base_delay=0.001, max_delay=0.05)


async def _at_once(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*map(asyncio.create_task, work), return_exceptions=True)


async def test_the_sum_of_eight_writers_is_right(sql: Sql) -> None:
    bank = await open_bank(sql, RetryMiddleware(PATIENT))
    mediator = bank.mediator
    await mediator.send(OpenAccount(account_id="a", amount=0))

    async def write(writer: int) -> None:
        for _ in range(DEPOSITS):
            await mediator.send(Deposit(account_id="a", amount=10**writer))

    assert await _at_once(*map(write, range(WRITERS))) == [None] * WRITERS
    assert await bank.balance("a") == int("5" * WRITERS)
    messages = await bank.outbox.get_pending(1000)
    assert len({message.message_id for message in messages}) == 1 + WRITERS * DEPOSITS
    assert len(messages) == 1 + WRITERS * DEPOSITS


async def test_without_repetition_whoever_is_not_told_of_an_error_has_been_saved(sql: Sql) -> None:
    bank = await open_bank(sql)
    mediator = bank.mediator
    await mediator.send(OpenAccount(account_id="a", amount=0))
    results = await _at_once(
        *(mediator.send(Deposit(account_id="a")) for _ in range(WRITERS * DEPOSITS))
    )
    lost = [result for result in results if isinstance(result, BaseException)]
    assert {type(error) for error in lost} <= {ConcurrencyError}
    saved = len(results) - len(lost)
    assert saved >= 1
    assert await bank.balance("a") == saved
    assert len(await bank.outbox.get_pending(1000)) == 1 + saved


async def test_of_many_who_open_one_account_one_does(sql: Sql) -> None:
    bank = await open_bank(sql)
    mediator = bank.mediator
    results = await _at_once(
        *(mediator.send(OpenAccount(account_id="a", amount=number)) for number in range(1, 9))
    )
    errors = [result for result in results if isinstance(result, BaseException)]
    assert [type(error) for error in errors] == [ConcurrencyError] * 7
    assert len(await bank.outbox.get_pending()) == 1


@pytest.mark.parametrize("senders", [2, 8])
async def test_a_command_given_at_once_with_one_key_is_done_once(sql: Sql, senders: int) -> None:
    keys = SQLAlchemyIdempotencyStore(sql.session_factory)
    bank = await open_bank(
        sql, RetryMiddleware(PATIENT), IdempotencyMiddleware(keys), tables=(keys,)
    )
    mediator = bank.mediator
    await mediator.send(OpenAccount(account_id="a", amount=1))
    command = Deposit(account_id="a", amount=5, idempotency_key="k")
    responses = await _at_once(*(mediator.send(command) for _ in range(senders)))
    assert [response.result for response in responses] == [6] * senders
    assert await bank.balance("a") == 6
    assert len(await bank.outbox.get_pending()) == 2


async def test_the_second_of_two_with_one_key_is_told_of_a_lost_race(sql: Sql) -> None:
    keys = SQLAlchemyIdempotencyStore(sql.session_factory)
    bank = await open_bank(sql, IdempotencyMiddleware(keys), tables=(keys,))
    mediator = bank.mediator
    for name in ("a", "b"):
        await mediator.send(OpenAccount(account_id=name, amount=1))
    meeting = asyncio.Barrier(2)
    first_attempts = 0

    async def deposit(command: Deposit, uow: Any) -> int:
        nonlocal first_attempts
        account = await uow.accounts.require(command.account_id)
        first_attempts += 1
        if not sql.is_sqlite:  # where they never run at the same time
            await meeting.wait()
        account.deposit(command.amount)
        return account.balance

    del bank.registry.commands[Deposit]
    bank.registry.register_command_handler(Deposit, deposit)
    mediator = bank.mediator
    results = await _at_once(
        *(mediator.send(Deposit(account_id=name, idempotency_key="k")) for name in ("a", "b"))
    )
    balances = sorted([await bank.balance("a") or 0, await bank.balance("b") or 0])
    assert balances == [1, 2]
    if not sql.is_sqlite:
        assert [type(r) for r in results if isinstance(r, Exception)] == [ConcurrencyError]
        assert first_attempts == 2
    async with bank.uow() as uow:
        assert (await uow.execute(select(keys.table.c.result))).scalars().all() == [2]
