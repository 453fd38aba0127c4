"""Jobs and timers on SQL databases."""

from cqrs_ddd_persistence_sqlalchemy.background_jobs.repository import (
    SQLAlchemyBackgroundJobRepository,
)

__all__ = ["SQLAlchemyBackgroundJobRepository"]
