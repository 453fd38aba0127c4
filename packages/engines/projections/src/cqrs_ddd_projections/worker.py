"""The part of a worker that feeds a projection: every version that its handlers are for."""

import asyncio
import logging
import os
import socket
from contextlib import suppress

from cqrs_ddd_core.ports import Progress, ProjectionVersion, VersionState
from cqrs_ddd_core.runtime.waiting import is_set_within
from cqrs_ddd_projections.errors import ProjectionStoppedError
from cqrs_ddd_projections.runner import VersionRunner
from cqrs_ddd_projections.switching import drop_finished
from cqrs_ddd_projections.wiring import Wiring

_log = logging.getLogger(__name__)


class ProjectionWorker:
    """Feeds a projection beside any number of others (see ``IWorkerPart``).

    It follows the live version, builds a new one when a rebuild was asked for, switches, and drops
    the old one. ``Projection.worker`` makes it.
    """

    def __init__(self, wiring: Wiring, name: str | None = None) -> None:
        self._wiring = wiring
        self.name = name or f"projection {wiring.name}"
        self.progress = Progress(stall_after=wiring.settings.stall_after)
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._runners: dict[int, tuple[VersionRunner, asyncio.Task[None]]] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Feed the projection until ``stopping`` is set."""
        refresh = self._wiring.settings.refresh
        await self._wiring.declare()
        try:
            while not stopping.is_set():
                await self._attend(stopping)
                self._report()
                await self._wait(stopping, refresh)
            await asyncio.gather(*(task for _, task in self._runners.values()))
        finally:
            tasks = [task for _, task in self._runners.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._runners.clear()

    async def _attend(self, stopping: asyncio.Event) -> None:
        """Begin to feed versions that are new, and drop those that are finished."""
        wiring = self._wiring
        for version in await wiring.storage.versions(wiring.name):
            if version.state is VersionState.RETIRED and await self._is_dropped(version):
                continue
            if version.revision == wiring.revision and version.version not in self._runners:
                is_live = version.state is VersionState.LIVE
                if version.state is not VersionState.RETIRED:
                    await wiring.read_model.create(version.version, live=is_live)
                runner = VersionRunner(wiring, version, self._worker, self._report)
                task = asyncio.create_task(runner.run(stopping), name=f"{self.name} {version}")
                self._runners[version.version] = runner, task

    async def _is_dropped(self, version: ProjectionVersion) -> bool:
        running = self._runners.get(version.version)
        if running is not None and not running[1].done():
            return False
        return await drop_finished(self._wiring, version)

    async def _wait(self, stopping: asyncio.Event, seconds: float) -> None:
        """Wait for the next look, or for a runner that fails."""
        tasks = [task for _, task in self._runners.values()]
        look = asyncio.ensure_future(is_set_within(stopping, seconds))
        try:
            await asyncio.wait((look, *tasks), return_when=asyncio.FIRST_COMPLETED)
        finally:
            look.cancel()
            with suppress(asyncio.CancelledError):
                await look
        for number, (_, task) in list(self._runners.items()):
            if task.done():
                del self._runners[number]
                task.result()

    def _report(self) -> None:
        lags = [runner.lag for runner, _ in self._runners.values()]
        error = next((lag.error for lag in lags if lag.error is not None), None)
        if error is not None:
            self.progress.trouble(ProjectionStoppedError(self._wiring.name, error))
        elif all(lag.is_idle for lag in lags):
            self.progress.idle()
        else:
            busy = [lag for lag in lags if not lag.is_idle]
            events = [lag.events for lag in busy if lag.events is not None]
            seconds = [lag.seconds for lag in busy if lag.seconds is not None]
            self.progress.busy(
                lag=max(events, default=None), lag_seconds=max(seconds, default=None)
            )
