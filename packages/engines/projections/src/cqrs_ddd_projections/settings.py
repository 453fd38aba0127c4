"""How a projection's workers work."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProjectionSettings:
    """Figures to be left alone until there is a reason.

    Attributes:
        batch_size: the most events in a transaction.
        lease: seconds after which the partitions of a worker that died are taken by others.
        min_poll: seconds between two looks at the feed right after there was something.
        max_poll: seconds between two looks when nothing happens for long.
        refresh: seconds between two looks for versions to be built, switched or dropped.
        stall_after: seconds a batch may take before the worker counts as stalled.
    """

    batch_size: int = 1000
    lease: float = 30.0
    min_poll: float = 0.01
    max_poll: float = 1.0
    refresh: float = 1.0
    stall_after: float = 60.0
