"""The event store and its feed."""

from cqrs_ddd_persistence_sqlalchemy.event_store.store import SQLAlchemyEventStore
from cqrs_ddd_persistence_sqlalchemy.event_store.tables import EventTables, event_tables

__all__ = ["EventTables", "SQLAlchemyEventStore", "event_tables"]
