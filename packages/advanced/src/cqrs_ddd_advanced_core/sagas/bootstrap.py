"""Connects sagas with the events that move them and the bus that carries out their commands."""

from collections.abc import Sequence
from typing import Any

from cqrs_ddd_advanced_core.sagas.definition import SagaDefinition
from cqrs_ddd_advanced_core.sagas.errors import SagaConfigurationError
from cqrs_ddd_advanced_core.sagas.manager import SagaManager
from cqrs_ddd_advanced_core.sagas.repository import ISagaRepository
from cqrs_ddd_advanced_core.sagas.saga import Saga
from cqrs_ddd_core.cqrs.context import get_causation_id
from cqrs_ddd_core.cqrs.handler import EventPhase
from cqrs_ddd_core.cqrs.mediator import Mediator
from cqrs_ddd_core.middleware.outbox import OutboxMiddleware
from cqrs_ddd_core.ports import ILockStrategy, IMessageCodec, IOutboxStorage


async def bootstrap_sagas(
    *,
    sagas: Sequence[SagaDefinition | type[Saga[Any]]],
    repository: ISagaRepository,
    command_bus: Mediator,
    lock_strategy: ILockStrategy | None = None,
    outbox: IOutboxStorage | None = None,
    codec: IMessageCodec | None = None,
) -> SagaManager:
    """Return a manager of ``sagas``, registered for their events as DURABLE handlers.

    From here on a saga begins by itself when its first event is raised. A relay has to deliver the
    outbox, with a ``SagaCommandPublisher`` for the commands; a ``SagaRecoveryWorker`` sees to
    timeouts and further attempts.

    Args:
        sagas: what ``SagaBuilder.build`` returned, and classes derived from ``Saga``.
        repository: where they are kept.
        command_bus: carries out their commands; its units of work are on the repository's store.
        lock_strategy: has those who move one saga wait for each other. Nothing depends on it.
        outbox: where commands wait for delivery; that of the bus unless given.
        codec: encodes commands and kept events; JSON by default.

    Raises:
        SagaConfigurationError: a saga cannot work, two have one name, or there is no outbox.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_core import (
        ...     Command, DomainEvent, HandlerRegistry, InMemoryOutboxStorage, InMemoryUnitOfWork,
        ...     MiddlewareRegistry)
        >>> from cqrs_ddd_core.cqrs.outbox import OutboxService
        >>> from cqrs_ddd_advanced_core.sagas import (
        ...     InMemorySagaRepository, SagaBuilder, SagaCommandPublisher)
        >>> class OrderPlaced(DomainEvent):
        ...     order_id: str
        >>> class Reserve(Command[None]):
        ...     order_id: str
        >>> async def reserve(command: Reserve) -> None:
        ...     print("reserved", command.order_id)
        >>> saga = (
        ...     SagaBuilder("Fulfilment")
        ...     .on(OrderPlaced, send=lambda e: Reserve(order_id=e.order_id), complete=True)
        ...     .build()
        ... )
        >>> registry, outbox = HandlerRegistry(), InMemoryOutboxStorage()
        >>> registry.register_command_handler(Reserve, reserve)
        >>> mediator = Mediator(
        ...     registry, InMemoryUnitOfWork,
        ...     middleware_registry=MiddlewareRegistry([OutboxMiddleware(outbox)]))
        >>> async def work() -> str:
        ...     manager = await bootstrap_sagas(
        ...         sagas=[saga], repository=InMemorySagaRepository(), command_bus=mediator)
        ...     await manager.handle(OrderPlaced(order_id="o-1", correlation_id="c-1"))
        ...     async with OutboxService(outbox, SagaCommandPublisher(manager)) as relay:
        ...         await relay.drain()
        ...     return (await manager.find_saga("Fulfilment", "c-1")).status
        >>> asyncio.run(work())
        reserved o-1
        <SagaStatus.COMPLETED: 'completed'>
    """
    definitions = [
        each if isinstance(each, SagaDefinition) else each.definition() for each in sagas
    ]
    found = next(
        (s.outbox for s in command_bus.event_sinks if isinstance(s, OutboxMiddleware)), None
    )
    outbox = outbox or found
    problems = _problems_of(definitions)
    if found is None:
        problems.append(
            "The command bus has no outbox, so events could be lost on their way to a saga; add "
            "OutboxMiddleware(outbox) to its middleware registry."
        )
    if problems or outbox is None:
        raise SagaConfigurationError(", ".join(each.name for each in definitions), problems)
    manager = SagaManager(
        definitions, repository, command_bus, outbox, codec=codec, lock_strategy=lock_strategy
    )
    for definition in definitions:
        _register(manager, definition)
    command_bus.registry.validate()
    return manager


def _register(manager: SagaManager, definition: SagaDefinition) -> None:
    async def handle(event: Any) -> None:
        await manager.handle_for(definition, event, message_id=get_causation_id())

    for event_type in definition.event_types:
        manager.mediator.registry.register_event_handler(
            event_type, handle, phase=EventPhase.DURABLE, name=f"saga {definition.name}"
        )


def _problems_of(definitions: Sequence[SagaDefinition]) -> list[str]:
    names = [definition.name for definition in definitions]
    problems = [
        f"Two sagas are called {name!r}; their rows could not be told apart."
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    return problems if names else ["There is no saga; give at least one."]
