"""What runs in the background: parts under one worker that starts, watches and stops them."""

from cqrs_ddd_core.runtime.errors import PartEndedError, WorkerGaveUpError
from cqrs_ddd_core.runtime.health_file import ReportedHealth, health_file, read_health
from cqrs_ddd_core.runtime.periodic import Periodic
from cqrs_ddd_core.runtime.process import serve_reference
from cqrs_ddd_core.runtime.references import (
    ReferenceNotUsableError,
    load_reference,
    open_reference,
)
from cqrs_ddd_core.runtime.status import PartState, PartStatus, WorkerStatus
from cqrs_ddd_core.runtime.worker import ExitCode, Worker

__all__ = [
    "ExitCode",
    "PartEndedError",
    "PartState",
    "PartStatus",
    "Periodic",
    "ReferenceNotUsableError",
    "ReportedHealth",
    "Worker",
    "WorkerGaveUpError",
    "WorkerStatus",
    "health_file",
    "load_reference",
    "open_reference",
    "read_health",
    "serve_reference",
]
