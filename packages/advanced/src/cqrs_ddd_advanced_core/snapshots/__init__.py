"""Snapshots: the state as of one version, so that fewer events have to be replayed."""

from cqrs_ddd_advanced_core.snapshots.memory import InMemorySnapshotStore
from cqrs_ddd_advanced_core.snapshots.serializer import JSONSnapshotSerializer
from cqrs_ddd_advanced_core.snapshots.snapshot import ISnapshotStore, Snapshot
from cqrs_ddd_advanced_core.snapshots.strategies import (
    CustomStrategy,
    EveryNEventsStrategy,
    ISnapshotStrategy,
    SnapshotProgress,
    TimeStrategy,
)

__all__ = [
    "CustomStrategy",
    "EveryNEventsStrategy",
    "ISnapshotStore",
    "ISnapshotStrategy",
    "InMemorySnapshotStore",
    "JSONSnapshotSerializer",
    "Snapshot",
    "SnapshotProgress",
    "TimeStrategy",
]
