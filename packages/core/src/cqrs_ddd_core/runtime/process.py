"""A worker, or one part of one, found by its name and run as a process."""

from typing import Any

from cqrs_ddd_core.ports.worker_part import IWorkerPart
from cqrs_ddd_core.runtime.references import open_reference
from cqrs_ddd_core.runtime.worker import Worker


async def serve_reference(reference: str) -> int:
    """Run what ``module:attribute`` names until a signal; return the exit code.

    Args:
        reference: a ``Worker`` or a part; or a function, a coroutine function or an async context
            manager that gives one.

    Raises:
        ReferenceNotUsableError: it names nothing of the kind.
    """
    async with open_reference(reference, _is_runnable, "a Worker or a part of one") as found:
        worker: Worker = found if isinstance(found, Worker) else Worker([found])
        return await worker.serve()


def _is_runnable(found: Any) -> bool:
    return isinstance(found, Worker | IWorkerPart)
