"""Aggregates that are kept as their events, in memory."""
# ruff: noqa: PT012 - a unit of work is one step

from typing import Any
from uuid import UUID, uuid4

import pytest

from cqrs_ddd_advanced_core import (
    Decider,
    EventSourcedAggregate,
    EventSourcedMediator,
    EventSourcedRepository,
    EventSourcingError,
    EventUnreadableError,
    IncompleteAggregateError,
    MissingEventHandlerError,
    UnknownAggregateError,
    UpcasterChainError,
    UpcasterRegistry,
)
from cqrs_ddd_core import (
    AggregateRoot,
    AggregateRootMixin,
    Command,
    ConcurrencyError,
    DomainEvent,
    EntityNotFoundError,
    EventPhase,
    EventStorePersistenceMiddleware,
    EventTypeRegistry,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryEventStore,
    InMemoryUnitOfWork,
    MiddlewareRegistry,
    StreamId,
    repository,
)

from .bank import COURSES, Account, Course, CourseFull, Deposited, Opened


class Customer(AggregateRoot[str]):
    accounts: int = 0


class BankUnitOfWork(InMemoryUnitOfWork):
    customers = repository(Customer)


class Deposit(Command[int]):
    account_id: str
    amounts: tuple[int, ...] = (1,)
    fail: bool = False


class DepositInSteps(Command[None]):
    account_id: str


class OpenAccount(Command[None]):
    account_id: str
    customer_id: str


class World:
    def __init__(self) -> None:
        self.store, self.database = InMemoryEventStore(), InMemoryDatabase()
        self.accounts = EventSourcedRepository(event_store=self.store, aggregate_cls=Account)
        self.heard: list[Any] = []
        self.registry = HandlerRegistry()
        self.registry.register_command_handler(Deposit, self.deposit)
        self.registry.register_command_handler(OpenAccount, self.open)
        self.registry.register_event_handler(Deposited, self.hear, phase=EventPhase.IN_TRANSACTION)
        self.mediator = EventSourcedMediator(
            self.registry,
            self.uow,
            event_store=self.store,
            aggregates=[Account],
            middleware_registry=MiddlewareRegistry([EventStorePersistenceMiddleware(self.store)]),
        )

    def uow(self) -> BankUnitOfWork:
        return BankUnitOfWork(self.database)

    async def hear(self, event: Deposited) -> None:
        self.heard.append(event)

    async def deposit(self, command: Deposit) -> int:
        account = await self.accounts.require(command.account_id)
        for amount in command.amounts:
            account.deposit(amount)
        if command.fail:
            raise LookupError
        return account.balance

    async def open(self, command: OpenAccount, uow: BankUnitOfWork) -> None:
        customer = await uow.customers.get(command.customer_id)
        if customer is None:
            customer = Customer(id=command.customer_id)
            await uow.customers.add(customer)
        customer.accounts += 1
        await self.accounts.add(Account.open(command.account_id, command.customer_id))

    async def stream(self, name: str, aggregate_id: str) -> list[tuple[int, str]]:
        events = self.store.read_stream(StreamId(name, aggregate_id))
        return [(event.version, event.event_type) async for event in events]


@pytest.fixture
def world() -> World:
    return World()


async def opened(world: World, account_id: str = "a-1") -> None:
    await world.accounts.add(Account.open(account_id, "c-1"))


# -- classes -------------------------------------------------------------------------------------


async def test_a_new_aggregate_with_two_events_comes_back_at_version_two(world: World) -> None:
    account = Account.open("a-1", "Ada")
    account.deposit(5)
    assert await world.accounts.add(account) == "a-1"
    assert account.version == 2
    found = await world.accounts.require("a-1")
    assert (found.owner, found.balance, found.version) == ("Ada", 5, 2)
    assert found.pending_events == ()
    assert await world.stream("Account", "a-1") == [(1, "bank.opened"), (2, "bank.deposited")]


async def test_what_is_written_before_the_end_of_a_command_is_kept_once(world: World) -> None:
    async def deposit_in_steps(command: DepositInSteps, uow: BankUnitOfWork) -> None:
        account = await world.accounts.require(command.account_id)
        for amount in (1, 2):
            account.deposit(amount)
            await uow.flush()
        account.deposit(3)

    world.registry.register_command_handler(DepositInSteps, deposit_in_steps)
    await opened(world)
    await world.mediator.send(DepositInSteps(account_id="a-1"))
    deposits = [(version, "bank.deposited") for version in (2, 3, 4)]
    assert await world.stream("Account", "a-1") == [(1, "bank.opened"), *deposits]
    assert (await world.accounts.require("a-1")).balance == 6


async def test_each_command_appends_behind_the_last(world: World) -> None:
    await opened(world)
    for _ in range(3):
        await world.mediator.send(Deposit(account_id="a-1", amounts=(1, 2)))
    found = await world.accounts.require("a-1")
    assert (found.balance, found.version) == (9, 7)
    assert [version for version, _ in await world.stream("Account", "a-1")] == list(range(1, 8))


async def test_events_are_kept_with_the_ids_of_their_command_and_heard(world: World) -> None:
    await opened(world)
    command = Deposit(account_id="a-1", amounts=(1, 2))
    response = await world.mediator.send(command)
    assert world.heard == response.events
    last = [e async for e in world.store.read_stream(StreamId("Account", "a-1"))][1:]
    assert {e.correlation_id for e in last} == {command.command_id}
    assert [e.event_id for e in last] == [e.event_id for e in response.events]
    assert [e.causation_id for e in last] == [e.causation_id for e in response.events]


async def test_a_failed_command_leaves_no_event(world: World) -> None:
    await opened(world)
    with pytest.raises(LookupError):
        await world.mediator.send(Deposit(account_id="a-1", fail=True))
    assert (await world.accounts.require("a-1")).version == 1


async def test_within_a_unit_of_work_an_id_is_one_object(world: World) -> None:
    await opened(world)
    async with world.uow():
        account = await world.accounts.require("a-1")
        account.deposit(3)
        assert await world.accounts.get("a-1") is account
        assert await world.accounts.list_all(["a-1", "none"]) == [account]
    assert (await world.accounts.require("a-1")).balance == 3


async def test_state_stored_and_event_sourced_commit_together(world: World) -> None:
    await world.mediator.send(OpenAccount(account_id="a-1", customer_id="c-1"))
    with pytest.raises(ConcurrencyError):
        await world.mediator.send(OpenAccount(account_id="a-1", customer_id="c-1"))
    await world.mediator.send(OpenAccount(account_id="a-2", customer_id="c-1"))
    async with world.uow() as uow:
        assert (await uow.customers.require("c-1")).accounts == 2
    assert (await world.accounts.require("a-1")).version == 1


async def test_who_is_second_is_told_expected_and_actual(world: World) -> None:
    await opened(world)
    first, second = await world.accounts.require("a-1"), await world.accounts.require("a-1")
    first.deposit(1)
    second.deposit(2)
    await world.accounts.add(first)
    with pytest.raises(ConcurrencyError) as refusal:
        await world.accounts.add(second)
    assert (refusal.value.expected, refusal.value.actual) == (1, 2)
    assert second.version == 1


async def test_a_savepoint_takes_back_what_was_recorded_in_it(world: World) -> None:
    await opened(world)
    async with world.uow() as uow:
        account = await world.accounts.require("a-1")
        account.deposit(1)
        with pytest.raises(LookupError):
            async with uow.savepoint():
                account.deposit(10)
                await uow.flush()
                raise LookupError
        assert account.balance == 1
        account.deposit(2)
    found = await world.accounts.require("a-1")
    assert (found.balance, found.version) == (3, 3)


async def test_an_unchanged_aggregate_that_is_added_again_appends_nothing(world: World) -> None:
    await opened(world)
    account = await world.accounts.require("a-1")
    await world.accounts.add(account)
    assert account.version == 1
    async with world.uow() as uow:
        await world.accounts.add(account)
        await uow.commit()
        account.deposit(1)
    assert (await world.accounts.require("a-1")).version == account.version == 2


async def test_what_events_cannot_do_is_refused(world: World) -> None:
    with pytest.raises(EventSourcingError, match="need an event"):
        await world.accounts.add(Account(id="a-9", owner="Ada"))
    with pytest.raises(EntityNotFoundError):
        await world.accounts.require("nobody")


async def test_ids_come_back_in_their_own_type() -> None:
    class Made(DomainEvent):
        pass

    class Thing(EventSourcedAggregate[UUID]):
        def apply_event(self, event: Any) -> None: ...

    types = EventTypeRegistry()
    types.add(Made)
    things = EventSourcedRepository(
        event_store=InMemoryEventStore(), aggregate_cls=Thing, event_registry=types
    )
    thing = Thing(id=uuid4())
    thing.record(Made())
    await things.add(thing)
    assert (await things.require(thing.id)).id == thing.id


async def test_a_plain_class_can_be_event_sourced() -> None:
    class Counter(AggregateRootMixin):
        def __init__(self, counter_id: str) -> None:
            self.id, self.value = counter_id, 0

        def count(self) -> None:
            event = Opened(owner="x")
            self.apply_event(event)
            self.add_event(event)

        def apply_event(self, event: Opened) -> None:
            self.value = getattr(self, "value", 0) + 1

    types = EventTypeRegistry()
    types.add(Opened)
    counters = EventSourcedRepository(
        event_store=InMemoryEventStore(), aggregate_cls=Counter, event_registry=types
    )
    counter = Counter("c-1")
    counter.count()
    counter.count()
    await counters.add(counter)
    found = await counters.require("c-1")
    assert (found.value, found.version) == (2, 2)


async def test_tenants_do_not_see_each_other() -> None:
    tenant = "a"
    accounts = EventSourcedRepository(
        event_store=InMemoryEventStore(), aggregate_cls=Account, tenant_of=lambda: tenant
    )
    await accounts.add(Account.open("a-1", "Ada"))
    tenant = "b"
    assert await accounts.get("a-1") is None
    await accounts.add(Account.open("a-1", "Bob"))
    tenant = "a"
    assert (await accounts.require("a-1")).owner == "Ada"


# -- mistakes ------------------------------------------------------------------------------------


class Lost(DomainEvent):
    pass


async def test_an_event_without_a_method_is_refused_when_recorded(world: World) -> None:
    with pytest.raises(MissingEventHandlerError, match="def apply_Lost"):
        Account.open("a-1", "Ada").record(Lost())


async def test_an_event_that_could_not_be_read_again_is_not_written(world: World) -> None:
    account = Account.open("a-1", "Ada")
    account.add_event(Lost())
    with pytest.raises(EventSourcingError, match="could not be read again"):
        await world.accounts.add(account)
    assert await world.store.latest_position() == 0


async def test_an_aggregate_that_lacks_a_field_after_replay_is_an_error(world: World) -> None:
    account = Account(id="a-1", owner="Ada")
    account.deposit(1)
    await world.accounts.add(account)
    with pytest.raises(IncompleteAggregateError, match="no owner") as error:
        await world.accounts.require("a-1")
    assert (error.value.version, error.value.missing) == (1, ["owner"])


async def test_an_unreadable_event_stops_the_load_and_names_itself(world: World) -> None:
    await opened(world)
    types = EventTypeRegistry()
    types.register("bank.opened", Lost)
    strict = EventSourcedRepository(
        event_store=world.store, aggregate_cls=Account, event_registry=EventTypeRegistry()
    )
    with pytest.raises(EventUnreadableError) as error:
        await strict.require("a-1")
    assert (str(error.value.stream), error.value.version) == ("Account/a-1", 1)
    assert error.value.event_type == "bank.opened"


def test_a_method_whose_event_is_not_said_is_refused() -> None:
    class Vague(AggregateRoot[str]):
        def apply_something(self, event) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
            ...

    with pytest.raises(EventSourcingError, match="apply_something does not say"):
        EventSourcedRepository(event_store=InMemoryEventStore(), aggregate_cls=Vague)


def test_upcasters_are_checked_when_the_repository_is_made() -> None:
    with pytest.raises(UpcasterChainError, match="No upcaster takes version 1"):
        EventSourcedRepository(
            event_store=InMemoryEventStore(),
            aggregate_cls=Account,
            upcaster_registry=UpcasterRegistry(),
        )


# -- deciders ------------------------------------------------------------------------------------


async def test_a_decider_is_loaded_decided_and_saved(world: World) -> None:
    courses = EventSourcedRepository[Any](event_store=world.store, aggregate_cls=COURSES)
    course = COURSES.new("c-1")
    course.execute(2)
    course.execute("Ada")
    await courses.add(course)
    async with world.uow():
        again = await courses.require("c-1")
        again.execute("Bob")
        assert again.execute("Bob") == []
        with pytest.raises(CourseFull):
            again.execute("Cid")
    found = await courses.require("c-1")
    assert (found.state, found.version) == (Course(2, ("Ada", "Bob")), 3)
    assert await world.stream("Course", "c-1") == [
        (1, "SeatsSet"),
        (2, "Enrolled"),
        (3, "Enrolled"),
    ]


async def test_a_decider_beside_a_class_in_one_unit_of_work(world: World) -> None:
    courses = EventSourcedRepository[Any](event_store=world.store, aggregate_cls=COURSES)
    with pytest.raises(LookupError):
        async with world.uow():
            course = COURSES.new("c-1")
            course.execute(2)
            await courses.add(course)
            await world.accounts.add(Account.open("a-1", "Ada"))
            raise LookupError
    assert await world.store.latest_position() == 0


def test_the_state_of_a_decider_may_come_from_a_function() -> None:
    def add(total: int, event: int) -> int:
        return total + event

    decider: Decider[int, int, int] = Decider(
        decide=lambda c, _: [c], evolve=add, initial_state=lambda: 0, name="Sum"
    )
    assert decider.state_type is int


# -- the mediator --------------------------------------------------------------------------------


async def test_load_finds_the_class_by_the_stream_and_save_has_events_handled(
    world: World,
) -> None:
    await opened(world)
    account = await world.mediator.load("a-1")
    assert isinstance(account, Account)
    account.deposit(4)
    await world.mediator.save(account)
    assert [event.amount for event in world.heard] == [4]
    assert (await world.mediator.load("a-1", from_version=0)).balance == 4
    async with world.uow():
        account.deposit(1)
        await world.mediator.save(account)
    assert (await world.mediator.load("a-1", aggregate_cls=Account)).version == 3


async def test_the_mediator_opens_units_of_work_of_the_store(world: World) -> None:
    mediator = EventSourcedMediator(registry=HandlerRegistry(), event_store=world.store)
    await mediator.save(Account.open("a-1", "Ada"))
    assert (await mediator.load("a-1")).owner == "Ada"


class FoundByItsName(EventSourcedAggregate[str]):
    def apply_opened(self, event: Opened) -> None: ...


async def test_a_class_that_nobody_named_is_found_by_its_own_name(world: World) -> None:
    aggregate = FoundByItsName(id="f-1")
    aggregate.record(Opened(owner="Ada"))
    await EventSourcedRepository(event_store=world.store, aggregate_cls=FoundByItsName).add(
        aggregate
    )
    assert isinstance(await world.mediator.load("f-1"), FoundByItsName)


async def test_load_says_what_it_cannot_tell(world: World) -> None:
    with pytest.raises(EntityNotFoundError):
        await world.mediator.load("nobody")
    course = COURSES.new("x-1")
    course.execute(1)
    await world.mediator.repository(COURSES).add(course)
    plain = EventSourcedMediator(world.registry, world.uow, event_store=world.store)
    with pytest.raises(UnknownAggregateError, match="not exactly one class for the type Course"):
        await plain.load("x-1")
    assert (await world.mediator.load("x-1")).state == Course(1)
    await opened(world, "x-1")
    with pytest.raises(UnknownAggregateError, match="streams of"):
        await world.mediator.load("x-1")
    assert (await plain.load("x-1", aggregate_cls=COURSES)).version == 1
