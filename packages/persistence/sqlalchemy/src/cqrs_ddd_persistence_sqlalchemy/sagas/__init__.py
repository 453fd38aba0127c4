"""Sagas of every kind on SQL databases."""

from cqrs_ddd_persistence_sqlalchemy.sagas.repository import SQLAlchemySagaRepository

__all__ = ["SQLAlchemySagaRepository"]
