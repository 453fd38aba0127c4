"""The report of a day."""

from collections.abc import Mapping
from dataclasses import dataclass

from cqrs_ddd_core import AggregateRootMixin


@dataclass
class DailyReport(AggregateRootMixin):
    """How the purchases stood on a day; its id is the day."""

    id: str
    counts: dict[str, int]

    @classmethod
    def of(cls, day: str, counts: Mapping[str, int]) -> "DailyReport":
        """Return the report for these counts."""
        return cls(day, dict(counts))
