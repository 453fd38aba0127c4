"""The conformance suites of this package's ports; they need pytest."""

from cqrs_ddd_advanced_core.testing.background_jobs import BackgroundJobRepositoryConformance
from cqrs_ddd_advanced_core.testing.sagas import SagaRepositoryConformance
from cqrs_ddd_advanced_core.testing.snapshots import SnapshotStoreConformance
from cqrs_ddd_advanced_core.testing.undo_tokens import UndoTokenRepositoryConformance

__all__ = [
    "BackgroundJobRepositoryConformance",
    "SagaRepositoryConformance",
    "SnapshotStoreConformance",
    "UndoTokenRepositoryConformance",
]
