"""What runs in the background: parts under one worker that starts, watches and stops them."""

from cqrs_ddd_core.runtime.errors import PartEndedError, WorkerGaveUpError
from cqrs_ddd_core.runtime.periodic import Periodic
from cqrs_ddd_core.runtime.status import PartState, PartStatus, WorkerStatus
from cqrs_ddd_core.runtime.worker import ExitCode, Worker

__all__ = [
    "ExitCode",
    "PartEndedError",
    "PartState",
    "PartStatus",
    "Periodic",
    "Worker",
    "WorkerGaveUpError",
    "WorkerStatus",
]
