"""How long the packages take to import, beside pydantic."""

import subprocess
import sys
from collections.abc import AsyncGenerator
from typing import Any

from benchmarks.harness import Pair, case


async def _fresh(statement: str) -> int:
    """Run ``statement`` in a new interpreter."""
    subprocess.run([sys.executable, "-c", statement], check=True)  # noqa: ASYNC221
    return 1


def _pair(ours: str, twin: str) -> Pair:
    return Pair(ours=lambda: _fresh(ours), twin=lambda: _fresh(twin))


@case("mediator", "import.cqrs_ddd_core", unit="ms", better="lower", rounds=15)
async def import_core() -> AsyncGenerator[Pair, Any]:
    """Whoever imports pydantic uses BaseModel, and asyncio comes with every async application."""
    yield _pair("import cqrs_ddd_core", "import asyncio, pydantic; pydantic.BaseModel")


@case("mediator", "import.cqrs_ddd_core.bare_pydantic", unit="ms", better="lower", rounds=15)
async def import_core_bare() -> AsyncGenerator[Pair, Any]:
    """The statement ``import pydantic`` alone, which loads almost nothing."""
    yield _pair("import cqrs_ddd_core", "import pydantic")


@case("mediator", "import.first_command", unit="ms", better="lower", rounds=15)
async def import_and_use() -> AsyncGenerator[Pair, Any]:
    """All that an application uses, and a first model on both sides: what start-up really costs."""
    names = "AggregateRoot, Command, HandlerRegistry, InMemoryUnitOfWork, Mediator, repository"
    yield _pair(
        f"from cqrs_ddd_core import {names}\nclass Hello(Command[str]):\n    name: str",
        "import asyncio, pydantic\nclass Hello(pydantic.BaseModel):\n    name: str",
    )
