"""One concept is one class, and what a port calls its parameters every adapter calls them."""

import ast
import inspect
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pytest

ROOT = Path(__file__).parents[2]
SUITES = ("testing",)  # the samples of conformance suites are called as in anybody's shop
PORTS_AND_ADAPTERS = [
    ("IRepository", "cqrs_ddd_core.InMemoryRepository"),
    ("IRepository", "cqrs_ddd_core.Repository"),
    ("IRepository", "cqrs_ddd_persistence_sqlalchemy.SQLAlchemyRepository"),
    ("IUnitOfWork", "cqrs_ddd_core.InMemoryUnitOfWork"),
    ("IUnitOfWork", "cqrs_ddd_persistence_sqlalchemy.SQLAlchemyUnitOfWork"),
    ("IOutboxStorage", "cqrs_ddd_core.InMemoryOutboxStorage"),
    ("IOutboxStorage", "cqrs_ddd_persistence_sqlalchemy.SQLAlchemyOutboxStorage"),
    ("IIdempotencyStore", "cqrs_ddd_core.InMemoryIdempotencyStore"),
    ("IIdempotencyStore", "cqrs_ddd_persistence_sqlalchemy.SQLAlchemyIdempotencyStore"),
    ("IEventStore", "cqrs_ddd_core.InMemoryEventStore"),
    ("ITaggedEventStore", "cqrs_ddd_core.InMemoryEventStore"),
    ("ITaggedEventStore", "cqrs_ddd_persistence_sqlalchemy.SQLAlchemyEventStore"),
    ("IProjectionStorage", "cqrs_ddd_core.InMemoryProjectionStorage"),
    ("IProjectionStorage", "cqrs_ddd_persistence_sqlalchemy.SQLAlchemyProjectionStorage"),
    ("IProjectionOperations", "cqrs_ddd_core.InMemoryProjectionStorage"),
    ("IProjectionOperations", "cqrs_ddd_persistence_sqlalchemy.SQLAlchemyProjectionStorage"),
    ("IReadModel", "cqrs_ddd_core.InMemoryReadModel"),
    ("IReadModel", "cqrs_ddd_persistence_sqlalchemy.SQLAlchemyReadModel"),
    ("ILockStrategy", "cqrs_ddd_core.InMemoryLockStrategy"),
    ("ICacheService", "cqrs_ddd_core.InMemoryCacheService"),
    ("IMessageCodec", "cqrs_ddd_core.JsonMessageCodec"),
]


def public_classes() -> dict[str, list[str]]:
    """Return the files of the packages by the public classes that they define."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted(ROOT.glob("packages/**/src/**/*.py")):
        path = file.relative_to(ROOT)
        if not set(SUITES) & set(path.parts):
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(str(path))
    return found


def test_no_two_public_classes_have_one_name() -> None:
    found = public_classes()
    assert "QueryOptions" in found
    assert {name: files for name, files in found.items() if len(files) > 1} == {}


@pytest.mark.parametrize(("port", "adapter"), PORTS_AND_ADAPTERS)
def test_what_is_given_by_name_to_a_port_can_be_given_to_its_adapter(
    port: str, adapter: str
) -> None:
    module, _, name = adapter.rpartition(".")
    protocol: Any = getattr(import_module("cqrs_ddd_core.ports"), port)
    implementation: Any = getattr(import_module(module), name)
    members = cast("dict[str, Any]", vars(protocol))
    methods = {
        method: function
        for method, function in members.items()
        if inspect.isfunction(function) and not method.startswith("_")
    }
    assert methods
    for method, function in methods.items():
        promised = _by_name(function)
        taken = _by_name(getattr(implementation, method))
        missing = [parameter for parameter in promised if parameter not in taken]
        assert not missing, f"{adapter}.{method} does not take {', '.join(missing)} by name"
        assert not [parameter for parameter in promised if parameter.startswith("_")]


def _by_name(function: Any) -> list[str]:
    """Return the parameters that may be given by name."""
    parameters = inspect.signature(function).parameters.values()
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [parameter.name for parameter in parameters if parameter.kind in by_name]
