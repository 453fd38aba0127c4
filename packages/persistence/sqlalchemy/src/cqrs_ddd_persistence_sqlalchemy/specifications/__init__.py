"""Specifications as SQL: the same answers as in memory, from every database."""

from cqrs_ddd_persistence_sqlalchemy.specifications.compiler import compiled
from cqrs_ddd_persistence_sqlalchemy.specifications.dialects import dialect_named
from cqrs_ddd_persistence_sqlalchemy.specifications.fields import Field, FieldResolver

__all__ = ["Field", "FieldResolver", "compiled", "dialect_named"]
