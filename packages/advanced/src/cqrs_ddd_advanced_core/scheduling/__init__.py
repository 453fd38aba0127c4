"""Commands that are sent later: at a time, after a delay, by cron text."""

from cqrs_ddd_advanced_core.background_jobs import CatchUp, Recurrence
from cqrs_ddd_advanced_core.scheduling.command_names import command_type_of
from cqrs_ddd_advanced_core.scheduling.errors import (
    AmbiguousCommandNameError,
    SchedulingError,
    UnknownCommandNameError,
)
from cqrs_ddd_advanced_core.scheduling.scheduler import CommandScheduler
from cqrs_ddd_advanced_core.scheduling.service import CommandSchedulerService
from cqrs_ddd_advanced_core.scheduling.worker import CommandSchedulerWorker

__all__ = [
    "AmbiguousCommandNameError",
    "CatchUp",
    "CommandScheduler",
    "CommandSchedulerService",
    "CommandSchedulerWorker",
    "Recurrence",
    "SchedulingError",
    "UnknownCommandNameError",
    "command_type_of",
]
