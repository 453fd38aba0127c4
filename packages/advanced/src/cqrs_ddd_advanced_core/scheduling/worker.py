"""Sends scheduled commands all the time, as a part of a worker."""

from cqrs_ddd_advanced_core.background_jobs import JobWorker
from cqrs_ddd_advanced_core.scheduling.service import CommandSchedulerService


class CommandSchedulerWorker(JobWorker):
    """Sends commands when they are due; a part of a ``Worker``.

    It sleeps until the next one is due, at most ``poll_interval``, which is how late a command may
    be that another process has just scheduled. Any number of them may run on one repository.

    Args:
        service: what sends the commands.
        poll_interval: seconds between two looks, at most.
        name: how it is called in logs and in the worker's status.
        lease: seconds for which commands stay claimed when the process dies.
        heartbeat: seconds between two renewals.

    Example:
        ``Worker([CommandSchedulerWorker(service)]).run()`` in a script, or the worker in
        ``cqrs-ddd worker run``.
    """

    def __init__(
        self,
        service: CommandSchedulerService,
        poll_interval: float = 1.0,
        *,
        name: str = "timers",
        lease: float = 30.0,
        heartbeat: float = 2.0,
    ) -> None:
        scheduler = service.scheduler
        super().__init__(
            scheduler.repository,
            service,
            queues={scheduler.queue: service.max_concurrency},
            name=name,
            poll_interval=poll_interval,
            lease=lease,
            heartbeat=heartbeat,
        )
        scheduler.on_scheduled(self.trigger)
