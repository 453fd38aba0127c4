"""A process's worth of sagas on one store: bus, outbox, relay, manager, recovery worker."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cqrs_ddd_advanced_core.sagas import (
    SAGA_COMMAND,
    InMemorySagaRepository,
    ISagaRepository,
    Saga,
    SagaCommandPublisher,
    SagaDefinition,
    SagaFilter,
    SagaManager,
    SagaRecoveryWorker,
    SagaState,
    bootstrap_sagas,
)
from cqrs_ddd_core import (
    HandlerRegistry,
    IInboxStorage,
    InMemoryDatabase,
    InMemoryInboxStorage,
    InMemoryOutboxStorage,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    OutboxMiddleware,
    RetryMiddleware,
    RetryPolicy,
    TopicRoutingPublisher,
    repository,
)
from cqrs_ddd_core.cqrs.outbox import DurableHandlerPublisher, OutboxService, RelaySettings
from cqrs_ddd_core.cqrs.unit_of_work import UnitOfWork
from cqrs_ddd_core.testing import until
from tests.sagas.orders import CreateOrder, Failures, Ledger, orders_registry

LONG = 60.0
SETTINGS = RelaySettings(retries=RetryPolicy(max_attempts=20, base_delay=0.01, max_delay=0.05))


class MemoryUnitOfWork(InMemoryUnitOfWork):
    ledgers = repository(Ledger)


@dataclass
class Store:
    """Where everything is kept, and how a unit of work on it is opened."""

    uow: Callable[[], UnitOfWork]
    outbox: Any
    inbox: IInboxStorage
    sagas: ISagaRepository


def memory_store() -> Store:
    database = InMemoryDatabase()
    return Store(
        lambda: MemoryUnitOfWork(database),
        InMemoryOutboxStorage(),
        InMemoryInboxStorage(),
        InMemorySagaRepository(),
    )


class World:
    """Sagas on a store, delivered and woken up when the test says so."""

    def __init__(self, store: Store, mediator: Mediator, manager: SagaManager) -> None:
        self.store, self.mediator, self.manager = store, mediator, manager
        self.failures = Failures()
        handlers = DurableHandlerPublisher(mediator, store.inbox)
        self.publisher = TopicRoutingPublisher(
            {SAGA_COMMAND: SagaCommandPublisher(manager)}, default=handlers
        )
        self.worker = SagaRecoveryWorker(store.sagas, [manager])

    async def create(self, order_id: str) -> str:
        """Create an order and return the id of the conversation that begins with it."""
        command = CreateOrder(order_id=order_id)
        await self.mediator.send(command)
        return command.command_id

    async def deliver(self) -> int:
        """Deliver all messages that wait."""
        async with OutboxService(self.store.outbox, self.publisher, settings=SETTINGS) as relay:
            return await relay.drain()

    async def deliver_until(self, event_type: str) -> None:
        """Deliver until a message of this type waits to be delivered, and leave it there."""
        async with OutboxService(self.store.outbox, self.publisher, settings=SETTINGS) as relay:
            while event_type not in {m.event_type for m in await self.store.outbox.get_pending()}:
                assert await relay.process_batch(1), "nothing more is delivered"

    async def run(self) -> None:
        """Deliver and wake up until nothing is on its way or due any more."""

        async def is_quiet() -> bool:
            await self.deliver()
            await self.worker.run_once()
            waits = await self.store.outbox.get_pending(1)
            due = await self.store.sagas.next_due_in(list(self.manager.saga_types))
            return not waits and (due is None or due > LONG)

        await until(is_quiet, timeout=LONG)

    async def done(self, order_id: str) -> list[str]:
        """Return the effects on an order, in order."""
        async with self.store.uow() as uow:
            ledger = await uow.repository_for(Ledger, key="ledgers").get(order_id)
        return [] if ledger is None else ledger.done

    async def saga(self, saga_type: str = "OrderFulfillment") -> SagaState:
        """Return the only saga of a type."""
        (found,) = await self.manager.search(SagaFilter(saga_types=[saga_type]))
        return found

    async def sagas(self) -> list[SagaState]:
        return await self.manager.search()


async def open_world(
    store: Store,
    *sagas: SagaDefinition | type[Saga[Any]],
    register: Callable[[HandlerRegistry], None] = lambda _: None,
    before_effect: Any = None,
    failures: Failures | None = None,
    **options: Any,
) -> World:
    """Return a world on a store that other worlds may share."""
    failures = failures or Failures()
    registry = orders_registry(failures, before_effect)
    register(registry)
    mediator = Mediator(
        registry,
        store.uow,
        middleware_registry=MiddlewareRegistry(
            [RetryMiddleware(RetryPolicy(max_attempts=20)), OutboxMiddleware(store.outbox)]
        ),
    )
    manager = await bootstrap_sagas(
        sagas=sagas, repository=store.sagas, command_bus=mediator, **options
    )
    world = World(store, mediator, manager)
    world.failures = failures
    return world
