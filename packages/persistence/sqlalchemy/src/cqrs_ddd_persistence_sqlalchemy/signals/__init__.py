"""Telling other processes of commits, beside the transactions that commit."""

from cqrs_ddd_persistence_sqlalchemy.signals.signal import (
    PostgreSQLSignal,
    SignalNotSupportedError,
)

__all__ = ["PostgreSQLSignal", "SignalNotSupportedError"]
