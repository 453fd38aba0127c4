"""What is wrong is refused with a typed error that says what to do, and nothing half written."""

import inspect
from dataclasses import dataclass
from typing import Any

import pytest

import cqrs_ddd_core
from cqrs_ddd_core import (
    AggregateRoot,
    AggregateRootMixin,
    Command,
    CommandResponse,
    ConcurrencyError,
    CQRSDDDError,
    DomainEvent,
    EntityNotFoundError,
    EventPhase,
    HandlerNotFoundError,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryOutboxStorage,
    InMemoryRepository,
    InMemoryUnitOfWork,
    InvalidCursorError,
    Mediator,
    MessageCodecError,
    MiddlewareRegistry,
    NotFoundError,
    OutboxMiddleware,
    PersistenceError,
    Query,
    QueryOptions,
    QueryOptionsError,
    repository,
)


class Placed(DomainEvent):
    note: Any = None


class Order(AggregateRoot[str]):
    total: int = 0


class Account(AggregateRoot[str]):
    balance: int = 0


@dataclass
class Basket(AggregateRootMixin):
    id: str


class ShopUnitOfWork(InMemoryUnitOfWork):
    orders = repository(Order)
    accounts = repository(Account)
    baskets = repository(Basket)


class Place(Command[None]):
    step: str = ""


class Count(Query[int]):
    pass


class World:
    def __init__(self) -> None:
        self.database, self.outbox = InMemoryDatabase(), InMemoryOutboxStorage()
        self.told: list[Any] = []
        self.registry = HandlerRegistry()
        self.registry.register_command_handler(Place, self.place)
        phase = EventPhase.IN_TRANSACTION
        self.registry.register_event_handler(Placed, self.in_transaction, phase=phase)
        self.registry.register_event_handler(Placed, self.after_commit)
        self.mediator = Mediator(
            self.registry,
            lambda: ShopUnitOfWork(self.database),
            middleware_registry=MiddlewareRegistry([OutboxMiddleware(self.outbox)]),
        )

    async def place(self, command: Place, uow: ShopUnitOfWork) -> CommandResponse[None]:
        anything: Any = uow.orders
        await uow.orders.add(Order(id="o-1"))
        await uow.accounts.add(Account(id="a-1"))
        if command.step == "taken id":
            await uow.orders.add(Order(id="o-1", total=2))
        if command.step == "stale version":
            await uow.accounts.add(Account(id="a-0", _version=3))
        if command.step == "another aggregate":
            await anything.add(Account(id="a-2"))
        if command.step == "no aggregate":
            await anything.add("o-2")
        if command.step == "missing aggregate":
            await uow.orders.delete("o-9")
        if command.step == "nested message without handler":
            await self.mediator.query(Count())
        note = object() if command.step == "event that cannot be encoded" else command.step
        return CommandResponse(None, events=[Placed(note=note)])

    async def in_transaction(self, event: Placed, uow: ShopUnitOfWork) -> None:
        await uow.baskets.add(Basket("b-1"))
        if event.note == "failing event handler":
            raise EntityNotFoundError("Basket", "b-0")

    async def after_commit(self, event: Placed) -> None:
        self.told.append(event)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("step", "error", "advice"),
    [
        ("taken id", ConcurrencyError, "Load it again"),
        ("stale version", ConcurrencyError, "Load it again"),
        ("another aggregate", PersistenceError, "holds Order, not Account"),
        ("no aggregate", PersistenceError, "holds Order, not str"),
        ("missing aggregate", EntityNotFoundError, "Order 'o-9' does not exist"),
        ("nested message without handler", HandlerNotFoundError, "register_query_handler"),
        ("event that cannot be encoded", MessageCodecError, "cannot be written as JSON"),
        ("failing event handler", EntityNotFoundError, "Basket 'b-0'"),
    ],
)
async def test_a_command_that_goes_wrong_at_any_step_writes_nothing_at_all(
    world: World, step: str, error: type[CQRSDDDError], advice: str
) -> None:
    with pytest.raises(error, match=advice):
        await world.mediator.send(Place(step=step))
    async with ShopUnitOfWork(world.database) as uow:
        stored = [*await uow.orders.list_all(), *await uow.accounts.list_all()]
        assert [*stored, *await uow.baskets.list_all()] == []
    assert await world.outbox.get_pending() == []
    assert world.told == []
    await world.mediator.send(Place())
    assert (len(world.told), len(await world.outbox.get_pending())) == (1, 1)


@pytest.mark.parametrize("message", [None, "place", 3, object(), Placed(), Place, [Place()]])
async def test_what_is_no_message_has_no_handler(world: World, message: Any) -> None:
    with pytest.raises(HandlerNotFoundError, match="Register it with registry"):
        await world.mediator.send(message)
    with pytest.raises(HandlerNotFoundError, match="register_stream_handler"):
        world.mediator.stream(message)


async def test_a_handler_of_events_is_no_handler_of_commands(world: World) -> None:
    with pytest.raises(HandlerNotFoundError, match="Placed"):
        await world.mediator.send(Placed())


async def test_a_message_that_looks_like_a_known_one_gets_a_hint(world: World) -> None:
    class Plase(Command[None]):
        pass

    with pytest.raises(HandlerNotFoundError, match="Place has one") as caught:
        await world.mediator.send(Plase())
    assert (caught.value.message_type, caught.value.kind) == (Plase, "command")


async def test_ids_of_any_type_that_do_not_exist_are_not_found(world: World) -> None:
    async with ShopUnitOfWork(world.database) as uow:
        orders: Any = uow.orders
        for entity_id in ("o-9", 9, None, ("o", 9), b"o"):
            assert await orders.get(entity_id) is None
            with pytest.raises(NotFoundError, match="does not exist") as caught:
                await orders.require(entity_id)
            assert caught.value.__class__ is EntityNotFoundError
        assert await orders.list_all(["o-9", 9, None]) == []
        assert await orders.list_all([]) == []


async def test_a_stale_aggregate_is_refused_with_both_versions(world: World) -> None:
    await world.mediator.send(Place())
    async with ShopUnitOfWork(world.database) as uow:
        stale = await uow.orders.require("o-1")
    async with ShopUnitOfWork(world.database) as uow:
        (await uow.orders.require("o-1")).total = 5
    stale.total = 6

    async def save_stale() -> None:
        async with ShopUnitOfWork(world.database) as uow:
            await uow.orders.add(stale)

    with pytest.raises(ConcurrencyError, match="Order 'o-1' is at version 2") as caught:
        await save_stale()
    error = caught.value
    assert (error.target, error.expected, error.actual) == ("Order 'o-1'", 1, 2)
    async with ShopUnitOfWork(world.database) as uow:
        assert (await uow.orders.require("o-1")).total == 5


async def test_a_repository_of_its_own_refuses_what_it_does_not_hold() -> None:
    orders: Any = InMemoryRepository[Order, str]()
    with pytest.raises(PersistenceError, match="holds Order, not Account"):
        await orders.add(Account(id="a-1"))
    assert len(orders) == 0


@pytest.mark.parametrize("batch_size", [0, -1])
async def test_a_search_refuses_an_impossible_batch(batch_size: int) -> None:
    result = await InMemoryRepository[Order, str]().search()
    with pytest.raises(QueryOptionsError, match="must be 1 or more"):
        await anext(result.stream(batch_size=batch_size))


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "W10", "bnVsbA", "WzEsMl0", "é"])
async def test_a_search_refuses_a_damaged_cursor(cursor: str) -> None:
    orders = InMemoryRepository[Order, str]()
    await orders.add(Order(id="o-1"))
    options = QueryOptions().with_ordering("total").with_cursor(cursor)
    with pytest.raises(InvalidCursorError):
        await (await orders.search(options))


@pytest.mark.parametrize(
    "options",
    [
        {"limit": -1},
        {"offset": -1},
        {"cursor": "x", "offset": 1},
        {"cursor": "x", "group_by": ("total",)},
        {"select_fields": ("id",), "group_by": ("total",)},
    ],
)
def test_a_search_that_makes_no_sense_cannot_be_written(options: dict[str, Any]) -> None:
    with pytest.raises(QueryOptionsError):
        QueryOptions(**options)


def public_errors() -> list[type[Exception]]:
    found = [getattr(cqrs_ddd_core, name) for name in cqrs_ddd_core.__all__]
    return [cls for cls in found if inspect.isclass(cls) and issubclass(cls, Exception)]


@pytest.mark.parametrize("error", public_errors())
def test_every_error_of_the_toolkit_belongs_to_the_one_hierarchy(error: type[Exception]) -> None:
    assert issubclass(error, CQRSDDDError)
    assert error.__doc__
