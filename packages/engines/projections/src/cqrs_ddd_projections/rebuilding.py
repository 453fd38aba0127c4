"""Waiting until a new version of a read model is read."""

from collections.abc import Callable

from cqrs_ddd_core.ports import (
    IProjectionOperations,
    ProjectionVersion,
    VersionState,
    VersionStatus,
)
from cqrs_ddd_core.primitives.clock import current_clock
from cqrs_ddd_projections.errors import ProjectionStoppedError, RebuildAbandonedError

_LOOK_EVERY = 0.1


async def wait_until_live(
    storage: IProjectionOperations,
    version: ProjectionVersion,
    on_progress: Callable[[VersionStatus], object] = lambda _: None,
) -> None:
    """Return when ``version``, which workers build, is the one that is read.

    Args:
        storage: where the versions are.
        version: what ``rebuild`` has begun.
        on_progress: told how it stands, again and again.

    Raises:
        ProjectionStoppedError: it has stopped at an event that cannot be applied.
        RebuildAbandonedError: it was given up, or replaced by a later one.
    """
    while True:
        found = await storage.status(version.projection)
        own = next((each for each in found if each.version.version == version.version), None)
        if own is None or own.version.state is VersionState.RETIRED:
            raise RebuildAbandonedError(version.projection)
        if own.version.error is not None:
            raise ProjectionStoppedError(version.projection, own.version.error)
        on_progress(own)
        if own.version.state is VersionState.LIVE:
            return
        await current_clock().sleep(_LOOK_EVERY)
