"""Old events, read in the schema of today."""

from cqrs_ddd_advanced_core.upcasting.errors import UpcasterChainError, UpcastError
from cqrs_ddd_advanced_core.upcasting.registry import UpcasterRegistry
from cqrs_ddd_advanced_core.upcasting.upcaster import EventUpcaster

__all__ = ["EventUpcaster", "UpcastError", "UpcasterChainError", "UpcasterRegistry"]
