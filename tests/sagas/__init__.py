"""Event-driven sagas, on every store."""
