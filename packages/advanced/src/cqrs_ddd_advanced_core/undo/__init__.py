"""Undo and redo: reverse commands behind tokens that expire."""

from cqrs_ddd_advanced_core.undo.errors import (
    NotUndoableError,
    UndoError,
    UndoExpiredError,
    UndoStatusError,
    UndoTokenNotFoundError,
    UndoUnsafeError,
)
from cqrs_ddd_advanced_core.undo.executor import UndoExecutor
from cqrs_ddd_advanced_core.undo.repository import (
    InMemoryUndoTokenRepository,
    IUndoTokenRepository,
)
from cqrs_ddd_advanced_core.undo.reversal import UndoRegistry
from cqrs_ddd_advanced_core.undo.service import UndoService
from cqrs_ddd_advanced_core.undo.token import StoredCommand, UndoStatus, UndoToken

__all__ = [
    "IUndoTokenRepository",
    "InMemoryUndoTokenRepository",
    "NotUndoableError",
    "StoredCommand",
    "UndoError",
    "UndoExecutor",
    "UndoExpiredError",
    "UndoRegistry",
    "UndoService",
    "UndoStatus",
    "UndoStatusError",
    "UndoToken",
    "UndoTokenNotFoundError",
    "UndoUnsafeError",
]
