"""Strategies by name, and the choice of one."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Self

from cqrs_ddd_advanced_core.conflict.strategies import (
    DeepMergeStrategy,
    FieldLevelMergeStrategy,
    IMergeStrategy,
    LastWinsStrategy,
    State,
    TimestampLastWinsStrategy,
    UnionListMergeStrategy,
)
from cqrs_ddd_core.primitives.errors import ConfigurationError


class ConflictResolutionPolicy(StrEnum):
    """What becomes of a change that lost a race."""

    FIRST_WINS = "first_wins"
    """It is refused: the ``ConcurrencyError`` reaches the sender."""
    LAST_WINS = "last_wins"
    """It is made nevertheless, on the latest version."""
    MERGE = "merge"
    """It is merged with what is there by now."""


class MergeStrategyRegistry:
    """Strategies by name.

    Example:
        >>> MergeStrategyRegistry.get_stock_registry().names()
        ['last_wins', 'field', 'deep', 'timestamp', 'union']
    """

    def __init__(self) -> None:
        self._makers: dict[str, Callable[..., IMergeStrategy]] = {}

    @classmethod
    def get_stock_registry(cls) -> Self:
        """Return a registry with the five strategies."""
        registry = cls()
        registry.register("last_wins", LastWinsStrategy)
        registry.register("field", FieldLevelMergeStrategy)
        registry.register("deep", DeepMergeStrategy)
        registry.register("timestamp", TimestampLastWinsStrategy)
        registry.register("union", UnionListMergeStrategy)
        return registry

    def register(self, name: str, maker: Callable[..., IMergeStrategy]) -> None:
        """Have ``create(name)`` call ``maker``."""
        self._makers[name] = maker

    def names(self) -> list[str]:
        """Return the names."""
        return list(self._makers)

    def create(self, name: str, **options: Any) -> IMergeStrategy:
        """Return a new strategy.

        Raises:
            ConfigurationError: there is none of this name.
        """
        if name not in self._makers:
            raise ConfigurationError(
                f"There is no merge strategy {name!r}; there are {', '.join(self._makers)}."
            )
        return self._makers[name](**options)


class ConflictResolver:
    """Merges by one strategy; field by field unless told otherwise.

    Example:
        >>> ConflictResolver(UnionListMergeStrategy()).merge({"tags": ["a"]}, {"tags": ["b"]})
        {'tags': ['a', 'b']}
    """

    def __init__(self, strategy: IMergeStrategy | None = None) -> None:
        self.strategy: IMergeStrategy = strategy or FieldLevelMergeStrategy()

    def merge(self, existing: State, incoming: State, base: State | None = None) -> dict[str, Any]:
        """Return the merged state (see ``IMergeStrategy``)."""
        return self.strategy.merge(existing, incoming, base)
