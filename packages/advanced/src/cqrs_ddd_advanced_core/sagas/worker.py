"""Wakes sagas up: after a crash, for another attempt, when a deadline has come."""

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from cqrs_ddd_advanced_core.sagas.errors import SagaConfigurationError
from cqrs_ddd_advanced_core.sagas.instance import SagaInstance
from cqrs_ddd_advanced_core.sagas.repository import ISagaRepository
from cqrs_ddd_advanced_core.sagas.runner import ISagaRunner
from cqrs_ddd_core import RetryPolicy
from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports import Progress
from cqrs_ddd_core.primitives.clock import current_clock, utc_now
from cqrs_ddd_core.primitives.error_text import described
from cqrs_ddd_core.primitives.errors import ConcurrencyError, ConfigurationError
from cqrs_ddd_core.primitives.message_context import current_context
from cqrs_ddd_core.runtime.waiting import first_of

_log = logging.getLogger(__name__)

_SHORTEST_PAUSE, _LONGEST_LEAVE = 0.005, 10.0
_BACKOFF = RetryPolicy(base_delay=1.0, max_delay=300.0)


@dataclass(slots=True)
class _Run:
    """A saga that is run here, and until when that is known to be nobody else's."""

    epoch: int
    held_until: float
    task: "asyncio.Task[None]"


class SagaRecoveryWorker:
    """Has sagas go on that wait for a time, or whose process died; a part of a ``Worker``.

    Any number of them, in any number of processes, may work on one repository: a saga is leased to
    one at a time, and what an earlier holder saves after its lease has ended is refused.

    Args:
        repository: where the sagas are.
        runners: what goes on with them; sagas of other types are left alone.
        name: how it is called in logs and in the worker's status.
        poll_interval: seconds between two looks when nothing is due.
        lease: seconds after which another worker takes over from one that died.
        max_concurrency: how many sagas are run at once here.
        backoff: the delays after a runner raised.

    Raises:
        SagaConfigurationError: two runners know one type.
    """

    def __init__(
        self,
        repository: ISagaRepository,
        runners: Sequence[ISagaRunner],
        *,
        name: str = "sagas",
        poll_interval: float = 1.0,
        lease: float = 30.0,
        max_concurrency: int = 10,
        backoff: RetryPolicy = _BACKOFF,
    ) -> None:
        self.name = name
        self.progress = Progress()
        self._repository, self._runners = repository, _by_type(runners)
        self._poll_interval, self._lease = poll_interval, lease
        self._max_concurrency, self._backoff = max_concurrency, backoff
        self._worker = f"{socket.gethostname()}:{os.getpid()} {name}"
        self._runs: dict[str, _Run] = {}
        self._failures: dict[str, int] = {}
        self._woken = asyncio.Event()

    def trigger(self) -> None:
        """Have it look for sagas now."""
        self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Wake sagas up until ``stopping`` is set; then wait for those that run."""
        token = current_context.set(None)  # sagas belong to conversations of their own
        beating = self._begin_beating()
        outages = 0
        try:
            while not stopping.is_set() or self._runs:
                self._woken.clear()
                try:
                    pause = await self._work(is_draining=stopping.is_set())
                    outages = 0
                except ConfigurationError:
                    raise
                except Exception as error:  # noqa: BLE001 - the store may be back in a moment
                    _log.warning("%s cannot reach its sagas", self.name, exc_info=error)
                    self.progress.trouble(error)
                    outages += 1
                    pause = self._backoff.delay(outages)
                waits = [self._woken.wait(), current_clock().sleep(pause)]
                if not stopping.is_set():
                    waits.append(stopping.wait())
                await first_of(*waits)
        finally:
            current_context.reset(token)
            await shielded(self._leave(beating))

    async def run_once(self) -> int:
        """Wake up the sagas that are due now, wait for them, and return how many there were."""
        token = current_context.set(None)
        beating = self._begin_beating()
        done = 0
        try:
            while claimed := await self._claim():
                done += len(claimed)
                await asyncio.wait([run.task for run in self._runs.values()])
        finally:
            current_context.reset(token)
            await shielded(self._leave(beating))
        return done

    # -- one round ------------------------------------------------------------------------------

    async def _work(self, *, is_draining: bool) -> float:
        """Begin what is due; return how long to wait."""
        claimed: Sequence[SagaInstance] = [] if is_draining else await self._claim()
        if self._runs:
            self.progress.busy(lag=len(self._runs))
        else:
            self.progress.idle()
        if is_draining or len(self._runs) >= self._max_concurrency:
            return self._poll_interval
        if claimed:
            return 0.0
        due_in = await self._repository.next_due_in(list(self._runners))
        if due_in is None:
            return self._poll_interval
        return min(self._poll_interval, max(due_in, _SHORTEST_PAUSE))

    async def _claim(self) -> Sequence[SagaInstance]:
        free = self._max_concurrency - len(self._runs)
        if free <= 0 or not self._runners:
            return []
        held_until = current_clock().monotonic() + self._lease
        claimed = await self._repository.claim(
            list(self._runners), worker=self._worker, lease=self._lease, limit=free
        )
        for saga in claimed:
            task = asyncio.create_task(self._resume(saga), name=f"saga {saga.saga_id}")
            self._runs[saga.saga_id] = _Run(saga.epoch, held_until, task)
        return claimed

    async def _resume(self, saga: SagaInstance) -> None:
        try:
            await self._runners[saga.saga_type].resume(saga)
            self._failures.pop(saga.saga_id, None)
        except ConcurrencyError as error:
            _log.info("Saga %s lost a race: %s", saga.saga_id, error)
            if self._failures.get(saga.saga_id):
                await self._put_off(saga, error)
            else:  # most likely a person has moved it, and waits
                self._failures[saga.saga_id] = 1
                await self._release(saga.saga_id, saga.epoch)
        except Exception as error:  # noqa: BLE001 - noted on the saga, tried again
            _log.warning("Saga %s cannot go on now", saga.saga_id, exc_info=error)
            self.progress.trouble(error)
            await self._put_off(saga, error)
        finally:
            self._runs.pop(saga.saga_id, None)
            self._woken.set()

    async def _put_off(self, saga: SagaInstance, error: Exception) -> None:
        """Have a saga wake up later, since its runner raised."""
        failures = self._failures[saga.saga_id] = self._failures.get(saga.saga_id, 0) + 1
        try:
            found = await self._repository.find(saga.saga_id)
            if found is None or found.epoch != saga.epoch:
                return
            if found.wake_at is None:  # it has ended meanwhile, or waits for events alone
                await self._repository.release(saga.saga_id, saga.epoch)
                return
            now = utc_now()
            later = max(found.wake_at, now + timedelta(seconds=self._backoff.delay(failures)))
            text = described(error).replace("\0", "\N{SYMBOL FOR NULL}")
            put_off = replace(found, error=text, wake_at=later, updated_at=now)
            await self._repository.save(put_off, release=True)
        except Exception:  # noqa: BLE001 - the lease ends by itself
            _log.warning("Saga %s keeps its lease until it ends", saga.saga_id, exc_info=True)

    # -- keeping leases -------------------------------------------------------------------------

    def _begin_beating(self) -> "asyncio.Task[None]":
        return asyncio.create_task(self._beat(), name=f"{self.name} heartbeat")

    async def _beat(self) -> None:
        """Renew leases, and stop what has been taken over, or may have been."""
        while True:
            await current_clock().sleep(self._lease / 3)
            runs = dict(self._runs)
            if not runs:
                continue
            now = current_clock().monotonic()
            try:
                held = await self._repository.renew(
                    {saga_id: run.epoch for saga_id, run in runs.items()}, lease=self._lease
                )
            except Exception as error:  # noqa: BLE001 - the store may be back in a moment
                _log.warning("%s cannot renew its leases", self.name, exc_info=error)
                held = [saga_id for saga_id, run in runs.items() if run.held_until > now]
            else:
                for saga_id in held:
                    runs[saga_id].held_until = now + self._lease
            for saga_id in runs.keys() - set(held):
                self._stop(saga_id, runs[saga_id])

    def _stop(self, saga_id: str, run: _Run) -> None:
        if self._runs.get(saga_id) is run:
            _log.warning("Saga %s is stopped here: its lease has ended", saga_id)
            run.task.cancel()

    async def _leave(self, beating: "asyncio.Task[None]") -> None:
        """Stop what still runs and give it back, so that another worker need not wait."""
        runs = dict(self._runs)
        tasks = [beating, *(run.task for run in runs.values())]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_LONGEST_LEAVE)
        for saga_id, run in runs.items():
            await self._release(saga_id, run.epoch)
        self._runs.clear()

    async def _release(self, saga_id: str, epoch: int) -> None:
        try:
            await self._repository.release(saga_id, epoch)
        except Exception:  # noqa: BLE001 - the lease ends by itself
            _log.warning("Saga %s keeps its lease until it ends", saga_id, exc_info=True)


def _by_type(runners: Sequence[ISagaRunner]) -> dict[str, ISagaRunner]:
    """Return the runners by the types of sagas they know.

    Raises:
        SagaConfigurationError: two know one type.
    """
    found: dict[str, ISagaRunner] = {}
    for runner in runners:
        for saga_type in runner.saga_types:
            if saga_type in found:
                raise SagaConfigurationError(saga_type, ["Two runners know it; give it to one."])
            found[saga_type] = runner
    return found
