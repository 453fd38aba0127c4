"""What projections keep in a SQL database: checkpoints, leases, blocked keys, read models."""

from cqrs_ddd_persistence_sqlalchemy.projections.read_model import (
    SQLAlchemyReadModel,
    document_table,
)
from cqrs_ddd_persistence_sqlalchemy.projections.storage import SQLAlchemyProjectionStorage

__all__ = ["SQLAlchemyProjectionStorage", "SQLAlchemyReadModel", "document_table"]
