"""Idempotency keys: a command is carried out once, however often it is sent."""

import asyncio
from collections.abc import AsyncIterator
from operator import attrgetter
from typing import Any

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    CommandResponse,
    ConcurrencyError,
    DomainEvent,
    HandlerRegistry,
    IdempotencyMiddleware,
    IdempotentStreamError,
    InMemoryDatabase,
    InMemoryIdempotencyStore,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    Query,
    RetryMiddleware,
    RetryPolicy,
    repository,
)


class Paid(DomainEvent):
    pass


class Payment(AggregateRoot[str]):
    amount: int


class PaymentUnitOfWork(InMemoryUnitOfWork):
    payments = repository(Payment)


class Pay(Command[str]):
    idempotency_key: str | None = None
    amount: int = 1
    fail: bool = False


class Refund(Command[str]):
    idempotency_key: str | None = None


class World:
    def __init__(self, *middlewares: object, **options: Any) -> None:
        self.runs, self.told = 0, 0
        self.gate: asyncio.Barrier | None = None
        self.database, store = InMemoryDatabase(), InMemoryIdempotencyStore()
        registry = HandlerRegistry()
        registry.register_command_handler(Pay, self.pay)
        registry.register_command_handler(Refund, self.refund)
        registry.register_event_handler(Paid, self.tell)
        middlewares = (*middlewares, IdempotencyMiddleware(store, **options))
        self.mediator = Mediator(
            registry,
            lambda: PaymentUnitOfWork(self.database),
            middleware_registry=MiddlewareRegistry(middlewares),
        )

    async def pay(self, command: Pay, uow: PaymentUnitOfWork) -> CommandResponse[str]:
        self.runs += 1
        payment = Payment(id=f"p-{self.runs}", amount=command.amount)
        await uow.payments.add(payment)
        if self.gate is not None and self.runs <= 2:
            await self.gate.wait()
        if command.fail:
            raise LookupError
        return CommandResponse(payment.id, events=[Paid()])

    async def refund(self, command: Refund) -> str:
        self.runs += 1
        return "refunded"

    async def tell(self, event: Paid) -> None:
        self.told += 1

    async def payments(self) -> list[str]:
        async with PaymentUnitOfWork(self.database) as uow:
            return [payment.id for payment in await uow.payments.list_all()]


async def test_the_second_time_the_kept_result_is_the_answer() -> None:
    world = World()
    first = await world.mediator.send(Pay(idempotency_key="k-1"))
    again = await world.mediator.send(Pay(idempotency_key="k-1"))
    assert first.result == again.result == "p-1"
    assert (world.runs, world.told, await world.payments()) == (1, 1, ["p-1"])


async def test_another_key_is_another_command() -> None:
    world = World()
    await world.mediator.send(Pay(idempotency_key="k-1"))
    assert (await world.mediator.send(Pay(idempotency_key="k-2"))).result == "p-2"


async def test_a_command_without_a_key_runs_every_time() -> None:
    world = World()
    await world.mediator.send(Pay())
    assert (await world.mediator.send(Pay())).result == "p-2"


async def test_keys_of_different_messages_never_meet() -> None:
    world = World()
    await world.mediator.send(Pay(idempotency_key="k-1"))
    assert (await world.mediator.send(Refund(idempotency_key="k-1"))).result == "refunded"


async def test_a_failed_command_may_be_tried_again_under_its_key() -> None:
    world = World()
    with pytest.raises(LookupError):
        await world.mediator.send(Pay(idempotency_key="k-1", fail=True))
    assert (await world.mediator.send(Pay(idempotency_key="k-1"))).result == "p-2"
    assert await world.payments() == ["p-2"]


async def test_of_two_at_once_one_commits_and_the_other_is_refused() -> None:
    world = World()
    world.gate = asyncio.Barrier(2)
    sends = (world.mediator.send(Pay(idempotency_key="k-1")) for _ in range(2))
    outcomes = await asyncio.gather(*sends, return_exceptions=True)
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(error) for error in failed] == [ConcurrencyError]
    assert len(await world.payments()) == 1


async def test_of_two_at_once_the_one_refused_finds_the_result_when_it_is_repeated() -> None:
    world = World(RetryMiddleware(RetryPolicy(base_delay=0)))
    world.gate = asyncio.Barrier(2)
    first, second = await asyncio.gather(
        *(world.mediator.send(Pay(idempotency_key="k-1")) for _ in range(2))
    )
    assert first.result == second.result
    assert await world.payments() == [first.result]
    assert (world.runs, world.told) == (2, 1)


async def test_where_the_key_stands_can_be_chosen() -> None:
    world = World(key_of=attrgetter("correlation_id"))
    await world.mediator.send(Pay(correlation_id="request-7"))
    assert (await world.mediator.send(Pay(correlation_id="request-7"))).result == "p-1"
    assert world.runs == 1


def commands_of_one_name() -> tuple[type[Command[str]], type[Command[str]]]:
    """Return two classes of one name, each in a module of its own."""
    classes: list[type[Command[str]]] = []
    for module in ("billing", "shipping"):

        class Confirm(Command[str]):
            __module__ = module
            __qualname__ = "Confirm"
            idempotency_key: str = "k-1"

        classes.append(Confirm)
    return classes[0], classes[1]


def mediator_of(*commands: type[Command[str]]) -> tuple[Mediator, list[str]]:
    runs: list[str] = []

    async def confirm(command: Command[str]) -> str:
        runs.append(type(command).__module__)
        return type(command).__module__

    registry = HandlerRegistry()
    for command in commands:
        registry.register_command_handler(command, confirm)
    middlewares = MiddlewareRegistry([IdempotencyMiddleware(InMemoryIdempotencyStore())])
    return Mediator(registry, InMemoryUnitOfWork, middleware_registry=middlewares), runs


async def test_commands_of_one_name_in_two_modules_do_not_share_keys() -> None:
    bill, ship = commands_of_one_name()
    mediator, runs = mediator_of(bill, ship)
    assert (await mediator.send(bill())).result == "billing"
    assert (await mediator.send(ship())).result == "shipping"
    assert runs == ["billing", "shipping"]


async def test_a_command_that_names_itself_keeps_its_keys_when_it_is_moved() -> None:
    class Before(Command[str]):
        message_type = "shop.confirm"
        idempotency_key: str = "k-1"

    class After(Command[str]):
        message_type = "shop.confirm"
        idempotency_key: str = "k-1"

    mediator, runs = mediator_of(Before, After)
    await mediator.send(Before())
    await mediator.send(After())
    assert len(runs) == 1


async def test_a_derived_command_does_not_inherit_the_name() -> None:
    class Confirm(Command[str]):
        message_type = "shop.confirm"
        idempotency_key: str = "k-1"

    class ConfirmTwice(Confirm):
        pass

    mediator, runs = mediator_of(Confirm, ConfirmTwice)
    await mediator.send(Confirm())
    await mediator.send(ConfirmTwice())
    assert len(runs) == 2


class CountPayments(Query[int]):
    idempotency_key: str = "k-1"


async def test_a_query_with_a_key_is_answered_anew() -> None:
    answers = iter(range(1, 10))

    async def count(_: CountPayments) -> int:
        return next(answers)

    registry = HandlerRegistry()
    registry.register_query_handler(CountPayments, count)
    middlewares = MiddlewareRegistry([IdempotencyMiddleware(InMemoryIdempotencyStore())])
    mediator = Mediator(registry, InMemoryUnitOfWork, middleware_registry=middlewares)
    assert (await mediator.query(CountPayments())).result == 1
    assert (await mediator.query(CountPayments())).result == 2


async def test_a_streamed_command_with_a_key_is_refused_before_it_begins() -> None:
    runs = 0

    async def pay_in_parts(_: Pay) -> AsyncIterator[str]:
        nonlocal runs
        runs += 1
        yield "part"

    registry = HandlerRegistry()
    registry.register_stream_handler(Pay, pay_in_parts)
    middlewares = MiddlewareRegistry([IdempotencyMiddleware(InMemoryIdempotencyStore())])
    mediator = Mediator(registry, InMemoryUnitOfWork, middleware_registry=middlewares)
    with pytest.raises(IdempotentStreamError, match="Stream it without a key") as refusal:
        mediator.stream(Pay(idempotency_key="k-1"))
    assert (refusal.value.message_type, runs) == (Pay, 0)
    assert [part async for part in mediator.stream(Pay())] == ["part"]
    assert [part async for part in mediator.stream(Pay())] == ["part"]
