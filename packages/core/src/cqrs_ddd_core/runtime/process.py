"""A worker, or one part of one, found by its name and run as a process."""

from pathlib import Path
from typing import Any

from cqrs_ddd_core.ports.worker_part import IWorkerPart
from cqrs_ddd_core.runtime.health_file import health_file
from cqrs_ddd_core.runtime.references import open_reference
from cqrs_ddd_core.runtime.worker import Worker


async def serve_reference(reference: str, *, health: Path | None = None) -> int:
    """Run what ``module:attribute`` names until a signal; return the exit code.

    Args:
        reference: a ``Worker`` or a part; or a function, a coroutine function or an async context
            manager that gives one.
        health: the file to keep the status in, for ``read_health``.

    Raises:
        ReferenceNotUsableError: it names nothing of the kind.
        ConfigurationError: the health file cannot be written.
    """
    async with open_reference(reference, _is_runnable, "a Worker or a part of one") as found:
        worker: Worker = found if isinstance(found, Worker) else Worker([found])
        if health is None:
            return await worker.serve()
        async with health_file(worker, health):
            return await worker.serve()


def _is_runnable(found: Any) -> bool:
    return isinstance(found, Worker | IWorkerPart)
