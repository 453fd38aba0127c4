"""The documented names can be imported from where they are documented."""

from importlib import import_module
from typing import Any

import pytest

from cqrs_ddd_core import HandlerRegistry, InMemoryUnitOfWork, Mediator
from cqrs_ddd_core.adapters import memory
from cqrs_ddd_core.domain import DomainEvent, EventTypeRegistry
from cqrs_ddd_core.validation import CompositeValidator, PydanticValidator, ValidationResult

NAMES = {
    "cqrs_ddd_core": (
        "Command CommandHandler CommandResponse HandlerRegistry InMemoryRepository "
        "InMemoryUnitOfWork Mediator MiddlewareRegistry get_current_uow"
    ),
    "cqrs_ddd_core.domain": "AggregateRoot DomainEvent EventTypeRegistry ValueObject",
    "cqrs_ddd_core.cqrs": (
        "Command CommandHandler CommandResponse EventDispatcher EventHandler HandlerRegistry "
        "Mediator Query QueryHandler QueryResponse get_current_uow"
    ),
    "cqrs_ddd_core.cqrs.concurrency": "CriticalSection",
    "cqrs_ddd_core.ports": (
        "ICacheService IEventStore ILockStrategy IOutboxStorage IRepository ISpecification "
        "IUnitOfWork IValidator QueryOptions SearchResult"
    ),
    "cqrs_ddd_core.adapters.memory": (
        "InMemoryCacheService InMemoryEventStore InMemoryLockStrategy InMemoryOutboxStorage "
        "InMemoryRepository InMemoryUnitOfWork"
    ),
    "cqrs_ddd_core.middleware": (
        "ConcurrencyGuardMiddleware EventStorePersistenceMiddleware LoggingMiddleware "
        "MiddlewareRegistry OutboxMiddleware ValidatorMiddleware"
    ),
    "cqrs_ddd_core.primitives.locking": "ResourceIdentifier",
    "cqrs_ddd_core.primitives.ids": "IIDGenerator",
    "cqrs_ddd_core.primitives.errors": "CQRSDDDError ConcurrencyError DomainError",
    "cqrs_ddd_core.validation": "CompositeValidator PydanticValidator ValidationResult",
    "cqrs_ddd_specifications": "AndSpecification QueryOptions SpecificationBuilder",
    "cqrs_ddd_persistence_sqlalchemy": "SQLAlchemyOutboxStorage SQLAlchemyUnitOfWork",
}


@pytest.mark.parametrize("module", NAMES)
def test_what_is_documented_can_be_imported(module: str) -> None:
    home = import_module(module)
    missing = [name for name in NAMES[module].split() if not hasattr(home, name)]
    assert not missing


def test_one_concept_is_one_class_wherever_it_is_imported_from() -> None:
    found: dict[str, set[Any]] = {}
    for module, names in NAMES.items():
        for name in names.split():
            found.setdefault(name, set()).add(getattr(import_module(module), name))
    assert {name: classes for name, classes in found.items() if len(classes) > 1} == {}


def test_every_port_can_be_asked_whether_an_object_implements_it() -> None:
    ports = import_module("cqrs_ddd_core.ports")
    protocols = [getattr(ports, name) for name in ports.__all__ if name.startswith("I")]
    assert protocols
    for port in protocols:
        assert isinstance(object(), port) is False


@pytest.mark.parametrize(
    ("port", "adapter"),
    [
        ("IRepository", memory.InMemoryRepository),
        ("IUnitOfWork", memory.InMemoryUnitOfWork),
        ("IEventStore", memory.InMemoryEventStore),
        ("IOutboxStorage", memory.InMemoryOutboxStorage),
        ("ILockStrategy", memory.InMemoryLockStrategy),
        ("ICacheService", memory.InMemoryCacheService),
        ("IIdempotencyStore", memory.InMemoryIdempotencyStore),
        ("ICommandBus", lambda: Mediator(HandlerRegistry(), InMemoryUnitOfWork)),
        ("IQueryBus", lambda: Mediator(HandlerRegistry(), InMemoryUnitOfWork)),
    ],
)
def test_every_port_of_a_store_has_an_adapter_in_memory(port: str, adapter: Any) -> None:
    assert isinstance(adapter(), getattr(import_module("cqrs_ddd_core.ports"), port))


def test_event_types_are_registered_and_hydrated_by_name() -> None:
    class Renamed(DomainEvent):
        name: str

    types = EventTypeRegistry()
    types.register("Renamed", Renamed)
    assert types.has("Renamed")
    assert types.get("Renamed") is Renamed
    assert types.hydrate("Renamed", {"name": "new"}).name == "new"
    assert types.list_registered() == ["Renamed"]
    types.clear()
    assert not types.has("Renamed")


async def test_validators_are_composed() -> None:
    class NoName:
        def validate(self, _: object) -> ValidationResult:
            return ValidationResult.failure({"name": ["is missing"]})

    result = await CompositeValidator([PydanticValidator()]).add(NoName()).validate(object())
    assert (result.is_valid, result.errors) == (False, {"name": ["is missing"]})
    assert ValidationResult.success()
