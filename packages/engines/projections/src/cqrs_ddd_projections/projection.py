"""A projection wired up: its workers, and waiting for it."""

from collections.abc import Callable
from typing import Any

from cqrs_ddd_core.domain import EventTypeRegistry
from cqrs_ddd_core.ports import (
    FeedSignal,
    IEventStore,
    IProjectionOperations,
    IProjectionStorage,
    IReadModel,
    ProjectionVersion,
    VersionStatus,
)
from cqrs_ddd_core.primitives.clock import current_clock
from cqrs_ddd_projections.errors import ProjectionBehindError
from cqrs_ddd_projections.handler import ProjectionHandler
from cqrs_ddd_projections.rebuilding import wait_until_live
from cqrs_ddd_projections.settings import ProjectionSettings
from cqrs_ddd_projections.wiring import Wiring
from cqrs_ddd_projections.worker import ProjectionWorker

_FIRST_LOOK, _LAST_LOOK = 0.005, 0.25


class Projection:
    """A handler with everything it works on.

    Args:
        handler: what it makes of which events.
        event_store: whose feed it follows.
        storage: where its checkpoints are, in the same database as the read model.
        read_model: what it writes.
        uow_factory: makes the units of work that it writes in.
        event_types: names of events, where they are not the classes' own.
        settings: how its workers work.

    Raises:
        ProjectionRegistrationError: the handler cannot work; with everything that is wrong.
    """

    def __init__(
        self,
        handler: ProjectionHandler,
        *,
        event_store: IEventStore,
        storage: IProjectionStorage,
        read_model: IReadModel,
        uow_factory: Callable[[], Any],
        event_types: EventTypeRegistry | None = None,
        settings: ProjectionSettings | None = None,
    ) -> None:
        types = event_types or EventTypeRegistry()
        self.name = handler.name
        self._wiring = Wiring(
            name=handler.name,
            revision=handler.revision,
            partitions=handler.partitions,
            errors=handler.errors,
            handlers=handler.compiled(types),
            key_of=handler.key_of,
            event_types=types,
            event_store=event_store,
            storage=storage,
            read_model=read_model,
            uow_factory=uow_factory,
            settings=settings or ProjectionSettings(),
            moved=FeedSignal(),
        )

    def worker(self, name: str | None = None) -> ProjectionWorker:
        """Return a part that feeds it, for a ``Worker``; any number may run, in any process."""
        return ProjectionWorker(self._wiring, name)

    async def wait_for(self, position: int, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - it ends the wait, nothing is cancelled
        """Wait until every event up to ``position`` has been considered: read what you wrote.

        Events of parked keys count as considered. The position to wait for is that of
        ``event_store.latest_position()`` after a command.

        Raises:
            ProjectionBehindError: it was not reached within ``timeout`` seconds.
        """
        clock, moved, pause = current_clock(), self._wiring.moved, _FIRST_LOOK
        end = clock.monotonic() + timeout
        while True:
            seen = moved.count
            reached = await self._wiring.storage.position(self.name)
            if reached is not None and reached >= position:
                return
            left = end - clock.monotonic()
            if left <= 0:
                raise ProjectionBehindError(self.name, position, reached, timeout)
            was_told = await moved.wait(seen, min(pause, left))
            pause = _FIRST_LOOK if was_told else min(pause * 2, _LAST_LOOK)

    async def rebuild(
        self, on_progress: Callable[[VersionStatus], object] = lambda _: None
    ) -> ProjectionVersion:
        """Build the read model anew beside the live one; return what is read from then on.

        Workers do it; one must run, here or elsewhere. A rebuild that is under way is joined.

        Args:
            on_progress: told how the new version stands, again and again.

        Raises:
            ProjectionStoppedError: an event cannot be applied.
            RebuildAbandonedError: somebody has given the rebuild up.
        """
        wiring, storage = self._wiring, self._wiring.storage
        assert isinstance(storage, IProjectionOperations)
        await wiring.declare()
        version = await storage.rebuild(self.name)
        assert version is not None
        await wait_until_live(storage, version, on_progress)
        return version
