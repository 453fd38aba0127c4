"""The outbox on SQL databases."""

from cqrs_ddd_persistence_sqlalchemy.outbox.storage import SQLAlchemyOutboxStorage
from cqrs_ddd_persistence_sqlalchemy.outbox.tables import outbox_table

__all__ = ["SQLAlchemyOutboxStorage", "outbox_table"]
