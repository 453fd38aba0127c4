"""Specifications: one way to ask, in memory and of every database."""

from cqrs_ddd_core.ports import QueryOptions, SearchResult
from cqrs_ddd_core.primitives.query_errors import FieldNotFoundError
from cqrs_ddd_specifications.builder import SpecificationBuilder
from cqrs_ddd_specifications.errors import (
    FieldNotQueryableError,
    OperandError,
    OperatorNotFoundError,
    SpecificationError,
    SpecificationFormatError,
    UnsupportedOperatorError,
)
from cqrs_ddd_specifications.factory import SpecificationFactory
from cqrs_ddd_specifications.operators import Operator
from cqrs_ddd_specifications.specification import (
    AndSpecification,
    AttributeSpecification,
    NotSpecification,
    OrSpecification,
    Specification,
)

__all__ = [
    "AndSpecification",
    "AttributeSpecification",
    "FieldNotFoundError",
    "FieldNotQueryableError",
    "NotSpecification",
    "OperandError",
    "Operator",
    "OperatorNotFoundError",
    "OrSpecification",
    "QueryOptions",
    "SearchResult",
    "Specification",
    "SpecificationBuilder",
    "SpecificationError",
    "SpecificationFactory",
    "SpecificationFormatError",
    "UnsupportedOperatorError",
]
