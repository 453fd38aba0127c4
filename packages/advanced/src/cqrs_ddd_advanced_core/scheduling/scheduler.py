"""Asks for commands to be sent later: at a time, after a delay, again and again."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from cqrs_ddd_advanced_core.background_jobs import (
    CatchUp,
    IBackgroundJobRepository,
    Job,
    JobKeyTakenError,
    JobStatus,
    Recurrence,
)
from cqrs_ddd_advanced_core.background_jobs.running import current_job
from cqrs_ddd_advanced_core.background_jobs.wake_up import WakeUp
from cqrs_ddd_advanced_core.scheduling.command_names import command_type_of
from cqrs_ddd_advanced_core.scheduling.errors import SchedulingError
from cqrs_ddd_core.cqrs.codec import JsonMessageCodec
from cqrs_ddd_core.cqrs.context import get_causation_id, get_correlation_id
from cqrs_ddd_core.cqrs.scope import current_scope
from cqrs_ddd_core.ports import IMessageCodec, IUnitOfWork
from cqrs_ddd_core.primitives.clock import as_utc, utc_now
from cqrs_ddd_core.primitives.ids import new_id

_RACES = 5  # of processes that declare the same schedule in the same moment
_LONGEST_KEY = 255


class CommandScheduler:
    """Keeps commands until their time comes.

    What is scheduled inside a unit of work commits with it, or never was. A
    ``CommandSchedulerWorker`` sends them.

    Args:
        repository: where they wait; a table of their own, or the one of the jobs.
        codec: turns commands into bytes; JSON by default.
        queue: the queue that they wait in.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_core import Command
        >>> from cqrs_ddd_advanced_core.background_jobs import InMemoryBackgroundJobRepository
        >>> class CancelUnpaid(Command[None]):
        ...     order_id: str
        >>> async def plan():
        ...     scheduler = CommandScheduler(InMemoryBackgroundJobRepository())
        ...     await scheduler.schedule(
        ...         CancelUnpaid(order_id="o-1"), after=timedelta(days=3), key="unpaid/o-1")
        ...     return await scheduler.cancel("unpaid/o-1")
        >>> asyncio.run(plan())
        True
    """

    def __init__(
        self,
        repository: IBackgroundJobRepository,
        *,
        codec: IMessageCodec | None = None,
        queue: str = "timers",
    ) -> None:
        self.repository, self.queue = repository, queue
        self.codec: IMessageCodec = codec or JsonMessageCodec()
        self._wake_up = WakeUp()

    def on_scheduled(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called when something new has been committed by this process."""
        self._wake_up.add(wake)

    async def schedule(
        self,
        command: Any,
        at: datetime | None = None,
        *,
        after: timedelta | None = None,
        key: str | None = None,
        description: str | None = None,
        max_attempts: int = 5,
        uow: IUnitOfWork | None = None,
    ) -> str:
        """Have ``command`` sent once; return the timer's id.

        Args:
            command: what to send.
            at: when; a time without a zone is read as UTC. One that has passed is due at once.
            after: how long from now, by this process's clock; instead of ``at``.
            key: by which to cancel or move it. A timer that waits under this key is replaced.
            description: for people.
            max_attempts: how often it is tried; the first counts.
            uow: the unit of work to join; the current one by default.

        Raises:
            SchedulingError: neither or both of ``at`` and ``after`` are given.
            JobKeyTakenError: now or at commit, when a timer of this key is being scheduled or
                is going off in the same moment; repeat the command.
        """
        timer = self._timer(
            command, _due(at, after), key=key, description=description, max_attempts=max_attempts
        )
        if key is not None:
            await self._replace(key, uow)
        await self._add(timer, uow)
        return timer.job_id

    async def schedule_cron(
        self,
        command: Any,
        cron: str,
        *,
        key: str,
        timezone: str = "UTC",
        catch_up: CatchUp = CatchUp.LAST,
        description: str | None = None,
        max_attempts: int = 5,
        uow: IUnitOfWork | None = None,
    ) -> str:
        """Have ``command`` sent again and again; return the timer's id.

        To ask for what is there already changes nothing, so every process may do it at its start;
        anything else replaces what waits under the key. Each occurrence is a command with an id
        and a conversation of its own. One that fails ``max_attempts`` times is given up; the next
        one comes nevertheless.

        Args:
            command: what to send.
            cron: the text, such as ``30 8 * * mon-fri`` (see ``Recurrence``).
            key: what the schedule is called.
            timezone: the zone in which the text is read.
            catch_up: what becomes of occurrences that were missed while no worker ran.
            description: for people.
            max_attempts: how often each occurrence is tried.
            uow: the unit of work to join; the current one by default.

        Raises:
            InvalidJobError: the text or the zone is none.
        """
        again = Recurrence(cron=cron, timezone=timezone, catch_up=catch_up)
        timer = self._timer(
            command,
            again.next_after(utc_now()),
            key=key,
            description=description,
            max_attempts=max_attempts,
            recurrence=again,
        )
        is_alone = uow is None and current_scope() is None
        for race in range(1, _RACES + 1):
            known = await self.repository.find_by_key(key, uow)
            if known is not None and self._is_same(known, timer, command):
                return known.job_id
            try:
                await self._replace(key, uow)
                await self._add(timer, uow)
            except JobKeyTakenError:
                if not is_alone or race == _RACES:
                    raise
            else:
                break
        return timer.job_id

    async def cancel(self, timer: str, uow: IUnitOfWork | None = None) -> bool:
        """Cancel the timer with this key or id; return whether it will not go off any more.

        One that is going off in this very moment is undone, unless it has committed.
        """
        found = await self._find(timer, uow)
        if found is None:
            return False
        status = await self.repository.cancel(found.job_id, uow)
        return status in {JobStatus.PENDING, JobStatus.RUNNING}

    async def reschedule(
        self,
        timer: str,
        at: datetime | None = None,
        *,
        after: timedelta | None = None,
        uow: IUnitOfWork | None = None,
    ) -> bool:
        """Move the timer with this key or id; return whether it still waited.

        Raises:
            SchedulingError: neither or both of ``at`` and ``after`` are given.
        """
        due_at, found = _due(at, after), await self._find(timer, uow)
        if found is None:
            return False
        status = await self.repository.reschedule(found.job_id, due_at, uow)
        self._wake_up.tell(uow)
        return status is JobStatus.PENDING

    async def list_timers(self, limit: int = 100) -> Sequence[Job]:
        """Return the timers that have not gone off, the next one first."""
        return await self.repository.list_jobs(
            [JobStatus.PENDING, JobStatus.RUNNING], queue=self.queue, limit=limit
        )

    # -- inside ---------------------------------------------------------------------------------

    def _timer(
        self,
        command: Any,
        due_at: datetime,
        *,
        key: str | None,
        description: str | None,
        max_attempts: int,
        recurrence: Recurrence | None = None,
    ) -> Job:
        if key is not None and not 0 < len(key) <= _LONGEST_KEY:
            raise SchedulingError(f"A timer's key has 1 to {_LONGEST_KEY} characters: {key!r}")
        return Job(
            job_id=new_id(),
            job_type=command_type_of(_class_of(command)),
            data=self.codec.encode(command),
            queue=self.queue,
            key=key,
            description=description,
            recurrence=recurrence,
            correlation_id=get_correlation_id(),
            causation_id=get_causation_id(),
            max_attempts=max_attempts,
            created_at=utc_now(),
            due_at=due_at,
        )

    async def _add(self, timer: Job, uow: IUnitOfWork | None) -> None:
        await self.repository.add(timer, uow)
        self._wake_up.tell(uow)

    async def _replace(self, key: str, uow: IUnitOfWork | None) -> None:
        """Cancel what waits under the key.

        A command that was sent by the timer of this key ends that timer first, so that it may
        schedule itself anew.
        """
        known = await self.repository.find_by_key(key, uow)
        if known is None:
            return
        own = current_job.get()
        if own is not None and own.job_id == known.job_id:
            await own.complete(uow=uow)
        elif await self.repository.cancel(known.job_id, uow) is JobStatus.RUNNING:
            raise JobKeyTakenError(key)

    async def _find(self, timer: str, uow: IUnitOfWork | None) -> Job | None:
        found = await self.repository.find_by_key(timer, uow)
        found = found or await self.repository.find(timer, uow)
        return found if found is not None and found.queue == self.queue else None

    def _is_same(self, known: Job, timer: Job, command: Any) -> bool:
        """Whether a schedule that is there says the same; ids of the command tell nothing."""
        if (known.job_type, known.recurrence) != (timer.job_type, timer.recurrence):
            return False
        if known.max_attempts != timer.max_attempts or known.description != timer.description:
            return False
        stored: Any = self.codec.decode(_class_of(command), known.data)
        return _without_ids(stored) == _without_ids(command)


def _due(at: datetime | None, after: timedelta | None) -> datetime:
    if at is not None and after is None:
        return as_utc(at)
    if after is not None and at is None:
        return utc_now() + after
    raise SchedulingError("Say either when (at=...) or how long from now (after=...).")


def _without_ids(command: Any) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(command, "__dict__", {})
    ids = {"command_id", "correlation_id"}
    return {name: value for name, value in fields.items() if name not in ids}


def _class_of(command: object) -> type[Any]:
    return type(command)
