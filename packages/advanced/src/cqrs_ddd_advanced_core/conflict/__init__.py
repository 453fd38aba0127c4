"""Changes that were made at the same time: five ways to keep both."""

from cqrs_ddd_advanced_core.conflict.errors import MergeConflictError
from cqrs_ddd_advanced_core.conflict.middleware import ConflictResolutionMiddleware, MergeRule
from cqrs_ddd_advanced_core.conflict.resolver import (
    ConflictResolutionPolicy,
    ConflictResolver,
    MergeStrategyRegistry,
)
from cqrs_ddd_advanced_core.conflict.strategies import (
    DeepMergeStrategy,
    FieldLevelMergeStrategy,
    IMergeStrategy,
    LastWinsStrategy,
    TimestampLastWinsStrategy,
    UnionListMergeStrategy,
    field_level_merge,
)

__all__ = [
    "ConflictResolutionMiddleware",
    "ConflictResolutionPolicy",
    "ConflictResolver",
    "DeepMergeStrategy",
    "FieldLevelMergeStrategy",
    "IMergeStrategy",
    "LastWinsStrategy",
    "MergeConflictError",
    "MergeRule",
    "MergeStrategyRegistry",
    "TimestampLastWinsStrategy",
    "UnionListMergeStrategy",
    "field_level_merge",
]
