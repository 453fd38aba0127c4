"""How projections get on: lag, rate, time left."""

from dataclasses import dataclass

from cqrs_ddd_core.ports import (
    IEventStore,
    IProjectionOperations,
    VersionState,
    VersionStatus,
)
from cqrs_ddd_core.primitives.clock import utc_now


@dataclass(frozen=True, slots=True)
class ProjectionReport:
    """How a version gets on.

    Attributes:
        status: how it stands.
        target: the position that it has to reach to be up to date.
        lag: positions between it and that; events of other types count too.
        lag_seconds: how long ago the first event that it has not considered was recorded.
        rate: positions a second since the version was begun; None where it tells nothing.
        seconds_left: until it is up to date at that rate.
    """

    status: VersionStatus
    target: int
    lag: int
    lag_seconds: float
    rate: float | None = None
    seconds_left: float | None = None


async def report_on(
    storage: IProjectionOperations, event_store: IEventStore, projection: str | None = None
) -> list[ProjectionReport]:
    """Return how the versions of one projection or of all get on."""
    found = await storage.status(projection)
    latest = await event_store.latest_position() if found else 0
    return [await _report(event_store, status, latest) for status in found]


async def _report(event_store: IEventStore, status: VersionStatus, latest: int) -> ProjectionReport:
    ends_at = status.version.ends_at
    target = latest if ends_at is None else min(latest, ends_at)
    lag = max(0, target - status.position)
    if not lag:
        return ProjectionReport(status, target, 0, 0.0)
    page = await event_store.read_feed(after_position=status.position, limit=1)
    recorded_at = page.events[0].recorded_at if page.events else None
    age = 0.0 if recorded_at is None else max(0.0, (utc_now() - recorded_at).total_seconds())
    is_building = status.version.state is VersionState.BUILDING
    rate = status.position / status.age if is_building and status.age > 0 else None
    return ProjectionReport(status, target, lag, age, rate, lag / rate if rate else None)
