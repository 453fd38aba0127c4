"""When something comes again: cron text read on the clock on the wall of a time zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cqrs_ddd_advanced_core.background_jobs.errors import InvalidJobError
from cqrs_ddd_core.primitives.clock import as_utc

_croniter: Any = import_module("croniter")  # it brings no types
_LONGEST_JUMP = timedelta(hours=26)  # of a clock on the wall; Samoa once skipped a whole day


class CatchUp(StrEnum):
    """What becomes of occurrences that were missed while nothing ran."""

    ALL = "all"
    """Each is made up for, one after another, oldest first."""
    LAST = "last"
    """One is made up for, however many were missed."""
    NONE = "none"
    """None is made up for; it goes on with the next one to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """When a job comes again.

    At fixed hours, a time that the clock skips in spring comes as much later as it was put
    forward, and a time that it shows twice in autumn comes the first time alone. Where the hour
    begins with ``*``, every time that the clock really shows counts, both times in autumn.

    Attributes:
        cron: five fields of cron text, or six with seconds as the last.
        timezone: the IANA name of the zone in which the text is read.
        catch_up: what becomes of missed occurrences.

    Raises:
        InvalidJobError: the text is no cron text, it names no time at all, or there is no such
            zone.

    Example:
        >>> daily = Recurrence(cron="30 8 * * *", timezone="Europe/Vienna")
        >>> daily.next_after(datetime(2026, 7, 1, 12, tzinfo=UTC)).isoformat()
        '2026-07-02T06:30:00+00:00'
    """

    cron: str
    timezone: str = "UTC"
    catch_up: CatchUp = CatchUp.LAST

    def __post_init__(self) -> None:
        _zone(self.timezone)
        next(_wall_times(self.cron, datetime(2026, 1, 1)))  # noqa: DTZ001 - a clock on the wall

    def next_after(self, moment: datetime) -> datetime:
        """Return the first occurrence later than ``moment``, in UTC."""
        moment, zone = as_utc(moment), _zone(self.timezone)
        fields = self.cron.split()
        if self.cron == "@hourly" or (len(fields) > 1 and fields[1].startswith("*")):
            return self._next_shown(moment, zone)
        wall = moment.astimezone(zone).replace(tzinfo=None) - _LONGEST_JUMP
        instants = (
            time.replace(tzinfo=zone).astimezone(UTC) for time in _wall_times(self.cron, wall)
        )
        return next(instant for instant in instants if instant > moment)

    def _next_shown(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """Return the first instant later than ``moment`` at which the clock shows such a time."""
        found: list[datetime] = []
        offsets = {
            (moment + ahead).astimezone(zone).utcoffset() or timedelta(0)
            for ahead in (timedelta(0), timedelta(hours=12), _LONGEST_JUMP)
        }
        for offset in offsets:
            for time in _wall_times(self.cron, (moment + offset).replace(tzinfo=None)):
                instant = (time - offset).replace(tzinfo=UTC)
                if instant - moment > _LONGEST_JUMP:
                    break
                if instant.astimezone(zone).utcoffset() == offset:
                    found.append(instant)
                    break
        if found:
            return min(found)
        wall = moment.astimezone(zone).replace(tzinfo=None)
        instants = (
            time.replace(tzinfo=zone).astimezone(UTC) for time in _wall_times(self.cron, wall)
        )
        return next(instant for instant in instants if instant > moment)

    def after(self, occurrence: datetime, now: datetime) -> datetime:
        """Return the occurrence that follows ``occurrence`` when it is done at ``now``."""
        if self.catch_up is CatchUp.ALL:
            return self.next_after(occurrence)
        return self.next_after(max(occurrence, now))


def _wall_times(cron: str, after: datetime) -> Iterator[datetime]:
    """Yield the times that cron text means, as a clock without time zone shows them."""
    try:
        times = _croniter.croniter(cron, after)
        while True:
            yield times.get_next(datetime)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InvalidJobError(
            f"{cron!r} is no cron text that ever comes true: {error}. Write minute, hour, day, "
            "month and day of the week, such as '30 8 * * mon-fri'."
        ) from error


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidJobError(
            f"There is no time zone {name!r}; use an IANA name, such as 'Europe/Vienna'."
        ) from error
