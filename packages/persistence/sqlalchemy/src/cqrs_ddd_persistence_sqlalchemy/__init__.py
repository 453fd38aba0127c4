"""Repositories, units of work, outbox and inbox on PostgreSQL, MariaDB, MySQL and SQLite."""

from cqrs_ddd_persistence_sqlalchemy.background_jobs import SQLAlchemyBackgroundJobRepository
from cqrs_ddd_persistence_sqlalchemy.engine import create_engine, create_session_factory
from cqrs_ddd_persistence_sqlalchemy.errors import (
    DatabaseUnavailableError,
    DatabaseUrlError,
    MappingError,
    UniqueViolationError,
)
from cqrs_ddd_persistence_sqlalchemy.event_store import (
    EventTables,
    SQLAlchemyEventStore,
    event_tables,
)
from cqrs_ddd_persistence_sqlalchemy.idempotency import SQLAlchemyIdempotencyStore
from cqrs_ddd_persistence_sqlalchemy.inbox import SQLAlchemyInboxStorage
from cqrs_ddd_persistence_sqlalchemy.mapping import AggregateMapping, IMapping
from cqrs_ddd_persistence_sqlalchemy.outbox import SQLAlchemyOutboxStorage, outbox_table
from cqrs_ddd_persistence_sqlalchemy.projections import (
    SQLAlchemyProjectionStorage,
    SQLAlchemyReadModel,
    document_table,
)
from cqrs_ddd_persistence_sqlalchemy.repository import SQLAlchemyRepository
from cqrs_ddd_persistence_sqlalchemy.sagas import SQLAlchemySagaRepository
from cqrs_ddd_persistence_sqlalchemy.schema import create_schema, drop_schema, metadata_of
from cqrs_ddd_persistence_sqlalchemy.signals import PostgreSQLSignal, SignalNotSupportedError
from cqrs_ddd_persistence_sqlalchemy.snapshots import SQLAlchemySnapshotStore
from cqrs_ddd_persistence_sqlalchemy.types import ExactDecimal, UtcDateTime, text_type
from cqrs_ddd_persistence_sqlalchemy.undo_tokens import SQLAlchemyUndoTokenRepository
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import SQLAlchemyUnitOfWork

__all__ = [
    "AggregateMapping",
    "DatabaseUnavailableError",
    "DatabaseUrlError",
    "EventTables",
    "ExactDecimal",
    "IMapping",
    "MappingError",
    "PostgreSQLSignal",
    "SQLAlchemyBackgroundJobRepository",
    "SQLAlchemyEventStore",
    "SQLAlchemyIdempotencyStore",
    "SQLAlchemyInboxStorage",
    "SQLAlchemyOutboxStorage",
    "SQLAlchemyProjectionStorage",
    "SQLAlchemyReadModel",
    "SQLAlchemyRepository",
    "SQLAlchemySagaRepository",
    "SQLAlchemySnapshotStore",
    "SQLAlchemyUndoTokenRepository",
    "SQLAlchemyUnitOfWork",
    "SignalNotSupportedError",
    "UniqueViolationError",
    "UtcDateTime",
    "create_engine",
    "create_schema",
    "create_session_factory",
    "document_table",
    "drop_schema",
    "event_tables",
    "metadata_of",
    "outbox_table",
    "text_type",
]
