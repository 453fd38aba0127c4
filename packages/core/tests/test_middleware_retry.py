"""Retries: every attempt is a unit of work of its own."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    ConcurrencyError,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    Query,
    RetryMiddleware,
    RetryPolicy,
    get_current_uow,
    repository,
)


class Counter(AggregateRoot[str]):
    value: int = 0


class CounterUnitOfWork(InMemoryUnitOfWork):
    counters = repository(Counter)


class Increase(Command[int]):
    lose: int = 0
    error: str = ""


class IncreaseNested(Command[int]):
    lose: int = 0


class Read(Query[int]):
    lose: int = 0


class World:
    """Handlers that lose as many races as they are told to."""

    def __init__(self, policy: RetryPolicy, **options: Any) -> None:
        self.attempts, self.units = 0, list[Any]()
        self.database, self.registry = InMemoryDatabase(), HandlerRegistry()
        self.registry.register_command_handler(Increase, self.increase)
        self.registry.register_command_handler(IncreaseNested, self.increase_nested)
        self.registry.register_query_handler(Read, self.read)
        self.mediator = Mediator(
            self.registry,
            lambda: CounterUnitOfWork(self.database),
            middleware_registry=MiddlewareRegistry([RetryMiddleware(policy, **options)]),
        )

    def attempt(self, lose: int) -> None:
        self.attempts += 1
        self.units.append(get_current_uow())
        if self.attempts <= lose:
            raise ConcurrencyError("Counter 'c-1'", expected=1, actual=2)

    async def increase(self, command: Increase, uow: CounterUnitOfWork) -> int:
        counter = await uow.counters.get("c-1") or Counter(id="c-1")
        await uow.counters.add(counter)
        counter.value += 1
        if command.error:
            self.attempts += 1
            raise LookupError(command.error)
        self.attempt(command.lose)
        return counter.value

    async def increase_nested(self, command: IncreaseNested) -> int:
        return (await self.mediator.send(Increase(lose=command.lose))).result

    async def read(self, query: Read) -> int:
        self.attempt(query.lose)
        return self.attempts


def world(max_attempts: int = 5, **options: Any) -> World:
    return World(RetryPolicy(max_attempts=max_attempts, base_delay=0), **options)


async def test_a_lost_race_is_repeated_until_it_is_won() -> None:
    shop = world()
    assert (await shop.mediator.send(Increase(lose=2))).result == 1
    assert shop.attempts == 3


async def test_failed_attempts_leave_nothing_behind() -> None:
    shop = world()
    await shop.mediator.send(Increase(lose=3))
    async with CounterUnitOfWork(shop.database) as uow:
        assert [counter.value for counter in await uow.counters.list_all()] == [1]
    assert len({id(unit) for unit in shop.units}) == 4
    assert [unit.committed for unit in shop.units] == [False, False, False, True]


async def test_after_the_last_attempt_the_error_comes_as_it_is() -> None:
    shop = world(max_attempts=3)
    with pytest.raises(ConcurrencyError) as caught:
        await shop.mediator.send(Increase(lose=9))
    assert (shop.attempts, caught.value.actual) == (3, 2)


async def test_a_single_attempt_is_no_retry() -> None:
    shop = world(max_attempts=1)
    with pytest.raises(ConcurrencyError):
        await shop.mediator.send(Increase(lose=1))
    assert shop.attempts == 1


async def test_other_errors_are_not_repeated() -> None:
    shop = world()
    with pytest.raises(LookupError):
        await shop.mediator.send(Increase(error="gone"))
    assert shop.attempts == 1


async def test_what_is_worth_a_retry_can_be_chosen() -> None:
    shop = world(errors=(LookupError,))
    with pytest.raises(LookupError):
        await shop.mediator.send(Increase(error="gone"))
    assert shop.attempts == 5
    with pytest.raises(ConcurrencyError):
        await shop.mediator.send(Increase(lose=99))
    assert shop.attempts == 6


async def test_a_race_lost_at_commit_is_repeated_as_well() -> None:
    shop = world()
    await shop.mediator.send(Increase())

    class Race(Command[int]):
        pass

    async def race(command: Race, uow: CounterUnitOfWork) -> int:
        counter = await uow.counters.require("c-1")
        counter.value += 10
        shop.attempts += 1
        if shop.attempts == 2:
            async with CounterUnitOfWork(shop.database) as other:
                (await other.counters.require("c-1")).value += 100
        return counter.value

    shop.registry.register_command_handler(Race, race)
    assert (await shop.mediator.send(Race())).result == 111
    assert shop.attempts == 3


async def test_a_nested_command_is_repeated_with_its_root_and_not_alone() -> None:
    shop = world()
    assert (await shop.mediator.send(IncreaseNested(lose=2))).result == 1
    assert len({id(unit) for unit in shop.units}) == shop.attempts == 3


async def test_a_query_is_repeated_too() -> None:
    assert (await world().mediator.query(Read(lose=2))).result == 3


@given(st.integers(1, 60), st.floats(0, 10), st.floats(0, 100))
def test_delays_grow_up_to_the_longest_and_are_never_negative(
    attempt: int, base: float, longest: float
) -> None:
    policy = RetryPolicy(base_delay=base, max_delay=longest)
    assert 0 <= policy.delay(attempt) <= policy.longest_delay(attempt) <= longest
    assert policy.longest_delay(attempt) <= policy.longest_delay(attempt + 1)


def test_delays_double_with_each_attempt() -> None:
    policy = RetryPolicy(base_delay=0.5, max_delay=100)
    assert [policy.longest_delay(attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1, 2, 4]


def test_a_very_late_attempt_has_a_delay_too() -> None:
    assert RetryPolicy(base_delay=0.5, max_delay=3).longest_delay(5000) == 3
