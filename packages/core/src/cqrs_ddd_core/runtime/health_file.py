"""A worker's status in a file, for whoever watches the process from outside."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cqrs_ddd_core.primitives.clock import current_clock
from cqrs_ddd_core.primitives.errors import ConfigurationError
from cqrs_ddd_core.runtime.worker import Worker

_log = logging.getLogger(__name__)
BEAT = 2.0


@asynccontextmanager
async def health_file(worker: Worker, path: Path, *, every: float = BEAT) -> AsyncGenerator[None]:
    """Keep the status of ``worker`` in a file until the end of the block, which removes it.

    The file is replaced as a whole, so a reader never finds half of one. A process whose event
    loop is blocked writes no more, and the file grows old: see ``read_health``.

    Args:
        worker: whose status.
        path: the file, in a folder that exists.
        every: seconds between two beats.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    try:
        _write(worker, path)
    except OSError as error:
        raise ConfigurationError(
            f"The health file {path} cannot be written: {error.strerror or error}. Name one in a "
            "folder that exists and that this process may write to."
        ) from error
    beating = asyncio.create_task(_beat(worker, path, every), name="health file")
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
        _remove(path)


async def _beat(worker: Worker, path: Path, every: float) -> None:
    while True:
        await current_clock().sleep(every)
        try:
            _write(worker, path)
        except OSError:  # a full disk stops no worker; the file grows old
            _log.warning("The health file %s cannot be written", path, exc_info=True)


def _write(worker: Worker, path: Path) -> None:
    data = {
        "written_at": current_clock().now().isoformat(),
        "pid": os.getpid(),
        **worker.status().to_dict(),
    }
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(data), encoding="utf-8")
    beside.replace(path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


@dataclass(frozen=True, slots=True)
class ReportedHealth:
    """What a health file says.

    Attributes:
        problem: why the worker is not well, in a sentence; None when it is.
        status: the worker's status as data; empty when there is none to be read.
    """

    problem: str | None
    status: Mapping[str, Any]


def read_health(path: Path, *, max_age: float = 30.0, only_alive: bool = False) -> ReportedHealth:
    """Return what the health file at ``path`` says.

    Args:
        path: the file.
        max_age: the seconds after which a file no longer counts: the process has died or hangs.
        only_alive: whether to be content with a process that gets on, though parts of it may be in
            trouble or drain: a restart would not help those. Parts that stall are not well.

    Example:
        >>> read_health(Path("there-is-none.json")).problem
        'There is no health file there-is-none.json: the worker does not run, or writes another.'
    """
    try:
        status: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        age = (current_clock().now() - datetime.fromisoformat(status["written_at"])).total_seconds()
        parts: list[dict[str, Any]] = status["parts"]
    except FileNotFoundError:
        problem = f"There is no health file {path}: the worker does not run, or writes another."
        return ReportedHealth(problem, {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        return ReportedHealth(f"{path} is no health file that can be read: {error!r}.", {})
    if abs(age) > max_age:
        problem = f"The health file is {age:.0f} s old: the worker was killed, or hangs."
        return ReportedHealth(problem, status)
    unwell = [_problem_of(part) for part in parts if not _is_well(part, only_alive=only_alive)]
    return ReportedHealth("; ".join(unwell) or None, status)


def _is_well(part: Mapping[str, Any], *, only_alive: bool) -> bool:
    return part["stalled_for"] is None if only_alive else part["healthy"]


def _problem_of(part: Mapping[str, Any]) -> str:
    problem = f"{part['name']} is {part['state']}"
    if part["stalled_for"] is not None:
        problem += f", without a step for {part['stalled_for']:.0f} s"
    return problem if part["last_error"] is None else f"{problem} ({part['last_error']})"
