"""Sends scheduled commands when their time has come."""

from collections.abc import Collection
from typing import Any

from cqrs_ddd_advanced_core.background_jobs import JobHandler, JobWorker, RunningJob
from cqrs_ddd_advanced_core.scheduling.command_names import command_class_of, commands_by_name
from cqrs_ddd_advanced_core.scheduling.scheduler import CommandScheduler
from cqrs_ddd_core.cqrs.mediator import Mediator
from cqrs_ddd_core.cqrs.registry import Registration
from cqrs_ddd_core.primitives.errors import ConcurrencyError

_RACES = 5  # how often a command that lost a race is sent again before it counts as failed


class CommandSchedulerService:
    """Sends commands that are due, each effectively once.

    The command's unit of work also settles its timer, so the two commit together: a process that
    is killed in between leaves both undone, and a timer that was cancelled meanwhile takes the
    command's effect with it.

    Args:
        scheduler: where the commands wait.
        mediator: what sends them; commands that have no handler here are left to others.
        same_store: whether timers and units of work are on one store. If not, a command is sent
            first and its timer settled after: it is sent again when the process dies in between,
            with the same ``command_id``, by which the idempotency middleware knows it.
        max_concurrency: how many commands are handled at once.

    Example:
        >>> import asyncio
        >>> from datetime import timedelta
        >>> from cqrs_ddd_core import Command, HandlerRegistry, InMemoryDatabase, InMemoryUnitOfWork
        >>> from cqrs_ddd_advanced_core.background_jobs import InMemoryBackgroundJobRepository
        >>> class Remind(Command[None]):
        ...     who: str
        >>> async def remind(command: Remind) -> None:
        ...     print("Remember,", command.who)
        >>> registry, database = HandlerRegistry(), InMemoryDatabase()
        >>> registry.register_command_handler(Remind, remind)
        >>> scheduler = CommandScheduler(InMemoryBackgroundJobRepository())
        >>> service = CommandSchedulerService(
        ...     scheduler, Mediator(registry, lambda: InMemoryUnitOfWork(database)))
        >>> async def work() -> int:
        ...     await scheduler.schedule(Remind(who="Ada"), after=timedelta(0))
        ...     return await service.process_due_commands()
        >>> asyncio.run(work())
        Remember, Ada
        1
    """

    def __init__(
        self,
        scheduler: CommandScheduler,
        mediator: Mediator,
        *,
        same_store: bool = True,
        max_concurrency: int = 10,
    ) -> None:
        self.scheduler, self.max_concurrency = scheduler, max_concurrency
        self._mediator = mediator
        self._handler = JobHandler(self._fire if same_store else self._send)
        self._names: list[str] | None = None
        mediator.registry.on_change(self._forget)

    async def process_due_commands(self, limit: int = 100) -> int:
        """Send at most ``limit`` commands that are due; return how many.

        For a command line, a cron job or a test. ``CommandSchedulerWorker`` does it all the time.
        """
        worker = JobWorker(
            self.scheduler.repository,
            self,
            queues={self.scheduler.queue: self.max_concurrency},
            name="timers",
        )
        return await worker.run_due(limit)

    def job_types(self) -> Collection[str]:
        """Return the names of the commands that have a handler here."""
        if self._names is None:
            self._names = list(commands_by_name(self._mediator.registry.commands))
        return self._names

    def handler_of(self, job_type: str) -> JobHandler:  # noqa: ARG002 - one sends them all
        """Return what sends a command."""
        return self._handler

    def _forget(self) -> None:
        self._names = None

    async def _fire(self, timer: RunningJob) -> None:
        """Send a command in a unit of work that settles its timer."""
        command = self._command(timer)

        async def send(message: Any) -> None:
            await self._mediator.send(message)

        handler = Registration(send, f"timer {timer.job.key or timer.job_id}")
        message_id = getattr(command, "command_id", timer.job_id)
        for race in range(1, _RACES + 1):
            timer.is_completing = False
            try:
                async with self._mediator.unit_of_work() as uow:
                    await self._mediator.react(command, handler, message_id=message_id)
                    if not timer.is_completing:  # a command that schedules itself anew has done it
                        await timer.complete(uow=uow)
            except ConcurrencyError:
                if race == _RACES:
                    raise
            else:
                return

    async def _send(self, timer: RunningJob) -> None:
        await self._mediator.send(self._command(timer))

    def _command(self, timer: RunningJob) -> Any:
        job = timer.job
        command_class = command_class_of(job.job_type, self._mediator.registry.commands)
        command = self.scheduler.codec.decode(command_class, job.data)
        if job.recurrence is None or not hasattr(command, "model_copy"):
            return command
        # Each occurrence is a command of its own, and every attempt at it the same one.
        command_id = f"{job.job_id}@{job.occurrence.isoformat()}"
        return command.model_copy(update={"command_id": command_id, "correlation_id": None})
